#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// What Slurm knows of a job, or of a task of a job array.
struct JobState {
  std::string id;                               ///< "17", or "17_3"
  std::string state;                            ///< Slurm's word: PENDING, RUNNING, COMPLETED, FAILED, ...
  std::string reason, nodes, time, time_limit;  ///< as squeue writes them
  bool active() const;                          ///< waiting, running, or about to end
};

/// A job to be submitted.
struct JobRequest {
  std::filesystem::path script;
  std::vector<std::string> arguments;  ///< of the script
  std::string log;                     ///< a file name with sbatch's patterns (%j)
  std::string after;                   ///< the job that must have ended well; "": none
};

/// The arguments of sbatch for it.
std::vector<std::string> sbatch_command(const JobRequest& request);

/// `path` as a part of a file name with patterns.
std::string without_patterns(const std::string& path);

/// Submits with sbatch. Returns the job's id. Errors: Error with what sbatch said.
std::string submit_job(const JobRequest& request);
/// Cancels with scancel. Errors: Error.
void cancel_jobs(const std::vector<std::string>& ids);

/// What Slurm says of these jobs, by squeue and, of those that it has forgotten, by sacct where there is one;
/// array tasks each for itself. Jobs that Slurm knows nothing of are absent. Errors: Error when squeue is
/// missing or gives no answer.
std::vector<JobState> job_states(const std::vector<std::string>& ids);

/// One line of `squeue --format=%i|%T|%r|%N|%M|%l`, or of `sacct --format=JobID,State,NodeList,Elapsed -P`.
std::optional<JobState> parse_squeue_line(const std::string& line);
std::optional<JobState> parse_sacct_line(const std::string& line);

}  // namespace tessera
