#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pipeline/cluster/job_script.h"
#include "pipeline/cluster/slurm_client.h"
#include "pipeline/cluster/submission.h"
#include "pipeline/run/run_folder.h"

namespace tessera {

enum class StageState { not_started, waiting, running, done, stopped, failed, cancelled };
std::string name_of(StageState state);

/// Where a stage of a run stands.
struct StageStatus {
  Stage stage = Stage::train;
  StageState state = StageState::not_started;
  std::string job;                 ///< "" when it was not submitted
  std::int64_t starts = 0;         ///< of the job
  std::int64_t done = 0, all = 0;  ///< iterations, blocks or, of an array, volumes; 0 of 0: not known
  std::string work;                ///< how far it is, in words
  std::string why;                 ///< it waits, stopped or failed
};

/// What is done of a run, what runs, what failed, and why: from the files in its folder, the journal of its
/// result, and Slurm where it was submitted.
struct RunStatus {
  std::string run_folder, experiment, submitted;
  std::vector<StageStatus> stages;
  std::vector<std::string> problems;  ///< what could not be read

  bool failed() const;
  std::string text() const;
  nlohmann::ordered_json json() const;
};

/// Errors: UsageError when there is nothing of a run in the folder; what is damaged is told in `problems`.
RunStatus read_run_status(const RunFolder& folder);

/// How a job stands by what Slurm says of it (null: nothing) and by the record of its starts; `log`: its log,
/// for why it failed. `job`, `starts`, `state` and `why` of the result are filled in.
StageStatus judge_job(Stage stage, const std::string& id, const JobState* slurm,
                      const std::vector<JobStart>& starts, const std::filesystem::path& log);

/// The last message of an error in a log, without its continuation; "" when there is none.
std::string last_error(const std::filesystem::path& log);

}  // namespace tessera
