#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/yaml_reader.h"

namespace tessera {

/// The resources of a stage's job; empty texts and zeros mean the cluster's defaults.
struct SlurmResources {
  std::string partition, time, memory, constraint;
  std::int64_t nodes = 1;
  std::int64_t gpus_per_node = 0;
  /// Workers on a node; 0: one per GPU; without GPUs one per NUMA domain of an exclusive node.
  std::int64_t tasks_per_node = 0;
  std::int64_t cpus_per_task = 0;
};

/// `slurm:` all texts are valid in a `#SBATCH` line.
struct SlurmConfig {
  /// The keys of `slurm:`, overridden by those of `slurm.train:` and so on. The defaults of `evaluate` and
  /// `report` are one node without GPUs; of `report` also one task.
  SlurmResources train, infer, evaluate, report;
  std::string account, qos, mail_user, mail_type;
  std::int64_t array_limit = 0;      ///< volumes predicted at the same time; 0: no limit
  std::int64_t stop_before = 180;    ///< seconds before the time limit when Slurm warns the job
  std::int64_t restarts = 3;         ///< after a rank died
  std::string mpi = "pmix";          ///< of `srun --mpi`
  std::vector<std::string> options;  ///< further options of sbatch, such as --reservation=em
  std::string site_env;              ///< sourced by every job first; "": slurm/site.env where it exists
};

/// Reads `slurm:`. Problems are noted in the document.
SlurmConfig read_slurm(ConfigSection slurm);

}  // namespace tessera
