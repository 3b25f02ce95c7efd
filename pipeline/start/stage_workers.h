#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/cluster/job_script.h"
#include "pipeline/config/experiment.h"
#include "pipeline/start/machine.h"

namespace tessera {

/// What bounds the useful number of workers of a stage, and the memory that each needs.
struct StageDemand {
  std::int64_t most_workers = 1;   ///< samples of a batch, blocks, sections
  std::int64_t worker_memory = 0;  ///< bytes of host memory; 0: not known
  bool uses_gpus = true;           ///< where there are some
};

/// Opens the inputs. Errors: UsageError, Error.
StageDemand demand_of(Stage stage, const ExperimentConfig& config, const Machine& machine);

/// The number of workers of a stage: `wanted`, or as many as machine and stage allow, at least 1.
int workers_for(const StageDemand& demand, const Machine& machine, std::optional<int> wanted);

/// How `tessera run` starts its stages.
struct StageLauncher {
  std::string program;                   ///< tessera itself
  std::string mpirun = "mpirun";         ///< of Open MPI
  std::vector<std::string> arguments{};  ///< of every stage that reads the experiment: the file, --set ...

  /// The command of a stage with `options` of its own: one process for one worker, otherwise mpirun with the
  /// workers and, for `train`, `infer` and `segment`, a coordinator. Errors: UsageError when mpirun is needed
  /// and does not exist.
  std::vector<std::string> command(Stage stage, int workers, const std::vector<std::string>& options) const;
};

}  // namespace tessera
