#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "pipeline/cluster/job_script.h"
#include "pipeline/cluster/slurm_client.h"
#include "pipeline/cluster/submission.h"
#include "pipeline/run/run_folder.h"

namespace tessera {

enum class StageState { not_started, waiting, running, done, stopped, failed, cancelled };
constexpr auto enum_names(StageState) {
  return std::to_array<EnumName<StageState>>({{StageState::not_started, "not started"},
                                              {StageState::waiting, "waiting"},
                                              {StageState::running, "running"},
                                              {StageState::done, "done"},
                                              {StageState::stopped, "stopped"},
                                              {StageState::failed, "failed"},
                                              {StageState::cancelled, "cancelled"}});
}

/// The state of a stage of a run.
struct StageStatus {
  Stage stage = Stage::train;
  StageState state = StageState::not_started;
  std::string job;                 ///< "" when it was not submitted
  std::int64_t starts = 0;         ///< of the job
  std::int64_t done = 0, all = 0;  ///< iterations, blocks or, of an array, volumes; 0 of 0: not known
  std::string work;                ///< its progress as text
  std::string why;                 ///< why it waits, stopped or failed
};

/// The states of a run's stages, from the files in its folder, the journal of its result and, where it was
/// submitted, from Slurm.
struct RunStatus {
  std::string run_folder, experiment, submitted;
  std::vector<StageStatus> stages;
  std::vector<std::string> problems;  ///< what could not be read

  bool failed() const;
  std::string text() const;
  nlohmann::ordered_json json() const;
};

/// Errors: UsageError when the folder holds no file of a run. Damaged files are listed in `problems`.
RunStatus read_run_status(const RunFolder& folder);

/// The state of a job from `slurm` (null: Slurm does not know it) and the record of its starts. `log` is
/// searched for the cause of a failure. Fills in `stage`, `job`, `starts`, `state` and `why`.
StageStatus judge_job(Stage stage, const std::string& id, const JobState* slurm,
                      const std::vector<JobStart>& starts, const std::filesystem::path& log);

/// The first line of the last error message in a log; "" without one.
std::string last_error(const std::filesystem::path& log);

}  // namespace tessera
