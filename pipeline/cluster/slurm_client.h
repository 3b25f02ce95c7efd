#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// The state of a job, or of a task of a job array, in Slurm.
struct JobState {
  std::string id;                               ///< "17", or "17_3"
  std::string state;                            ///< Slurm's word: PENDING, RUNNING, COMPLETED, FAILED, ...
  std::string reason, nodes, time, time_limit;  ///< as squeue writes them
  bool active() const;                          ///< waiting, running or ending
};

/// A job to be submitted.
struct JobRequest {
  std::filesystem::path script;
  std::vector<std::string> arguments;  ///< of the script
  std::string log;                     ///< a file name with sbatch's patterns (%j)
  std::string after;                   ///< the job that must succeed first; "": none
};

/// The command line of sbatch for a job.
std::vector<std::string> sbatch_command(const JobRequest& request);

/// `path` with its % escaped, as a part of a file name with patterns.
std::string without_patterns(const std::string& path);

/// Submits with sbatch. Returns the job's id. Errors: Error with what sbatch said.
std::string submit_job(const JobRequest& request);
/// Cancels with scancel. Errors: Error.
void cancel_jobs(const std::vector<std::string>& ids);

/// The states of jobs, from squeue; where sacct exists, also of jobs that squeue no longer lists. Tasks of an
/// array are separate. Unknown jobs are absent. Errors: Error when squeue is missing or fails.
std::vector<JobState> job_states(const std::vector<std::string>& ids);

/// One line of `squeue --format=%i|%T|%r|%N|%M|%l`, or of `sacct --format=JobID,State,NodeList,Elapsed -P`.
std::optional<JobState> parse_squeue_line(const std::string& line);
std::optional<JobState> parse_sacct_line(const std::string& line);

}  // namespace tessera
