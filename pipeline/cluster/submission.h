#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/cluster/job_script.h"

namespace tessera {

/// A job of an experiment, as it was submitted.
struct SubmittedJob {
  Stage stage = Stage::train;
  std::string id;
  std::vector<std::string> volumes;  ///< of a job array: each task's volume; empty for a plain job
};

/// The record of `submit` in `<run folder>/jobs/submission.json`.
struct Submission {
  std::string submitted;  ///< UTC, such as 2026-11-22T19:07:49Z
  std::string experiment;
  std::filesystem::path
      directory;  ///< where `submit` was started: paths in the experiment are relative to it
  std::vector<SubmittedJob> jobs;

  std::vector<std::string> ids() const;
};

/// `<run folder>/jobs`: experiment.yaml (as submitted, every key with its value), STAGE.sbatch,
/// submission.json, and of each job a log and a record of its starts.
class JobFolder {
 public:
  explicit JobFolder(const std::filesystem::path& run_folder) : folder_(run_folder / "jobs") {}
  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path script(Stage stage) const { return folder_ / (name_of(stage) + ".sbatch"); }
  std::filesystem::path experiment() const { return folder_ / "experiment.yaml"; }
  std::filesystem::path experiment_of(const std::string& volume) const {
    return folder_ / ("volume_" + volume + ".yaml");
  }
  std::filesystem::path record() const { return folder_ / "submission.json"; }
  /// `id`: "17", or "17_3" of a task.
  std::filesystem::path log(Stage stage, const std::string& id) const {
    return folder_ / (name_of(stage) + "-" + id + ".log");
  }
  std::filesystem::path starts(Stage stage, const std::string& id) const {
    return folder_ / (name_of(stage) + "-" + id + ".starts");
  }

 private:
  std::filesystem::path folder_;
};

/// Errors: Error.
void write_submission(const JobFolder& folder, const Submission& submission);
/// None when the file does not exist. Errors: Error when it is damaged.
std::optional<Submission> read_submission(const JobFolder& folder);

/// A start of a job, as its script recorded it.
struct JobStart {
  std::string nodes;
  int exit_code = -1;   ///< -1: not recorded
  std::string outcome;  ///< done, stopped, late, died, failed, or ended (by Slurm); "": not recorded
};
/// Reads STAGE-JOB.starts, in the order of the file; empty when it does not exist. Incomplete lines are
/// skipped.
std::vector<JobStart> read_starts(const std::filesystem::path& file);

}  // namespace tessera
