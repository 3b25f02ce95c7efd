#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/yaml_reader.h"

namespace tessera {

/// What a job of a stage asks Slurm for; empty texts and zeros leave it to the cluster's defaults.
struct SlurmResources {
  std::string partition, time, memory, constraint;
  std::int64_t nodes = 1;
  std::int64_t gpus_per_node = 0;
  /// Workers on a node; 0: one per GPU, and without GPUs one per NUMA domain of a node that the job has to
  /// itself.
  std::int64_t tasks_per_node = 0;
  std::int64_t cpus_per_task = 0;
};

/// `slurm:` all texts are such that they can stand in a `#SBATCH` line.
struct SlurmConfig {
  /// What `slurm:` says, with what `slurm.train:` and so on say otherwise. `evaluate` and `report` take one
  /// node without GPUs, `report` one task, unless their own sections say more.
  SlurmResources train, infer, evaluate, report;
  std::string account, qos, mail_user, mail_type;
  std::int64_t array_limit = 0;      ///< volumes predicted at the same time; 0: as many as the cluster lets
  std::int64_t stop_before = 180;    ///< seconds before the time limit when Slurm warns the job
  std::int64_t restarts = 3;         ///< after a rank died
  std::string mpi = "pmix";          ///< of `srun --mpi`
  std::vector<std::string> options;  ///< further options of sbatch, such as --reservation=em
  std::string site_env;              ///< sourced by every job first; "": slurm/site.env where it exists
};

/// Reads `slurm:`; what is wrong is noted in the document.
SlurmConfig read_slurm(ConfigSection slurm);

}  // namespace tessera
