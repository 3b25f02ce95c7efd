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

  /// Workers on a node as far as the config says it; 0: one per NUMA domain.
  std::int64_t workers_per_node() const { return tasks_per_node > 0 ? tasks_per_node : gpus_per_node; }
};

/// `slurm:` all texts are valid in a `#SBATCH` line.
struct SlurmConfig {
  /// The keys of `slurm:`, overridden by those of `slurm.train:` and so on. `evaluate` and `report` ask for
  /// little and for no GPUs: small_resources(); `segment` for no GPUs: without_gpus().
  SlurmResources train, infer, segment, evaluate, report;
  std::string account, qos, mail_user, mail_type;
  std::int64_t array_limit = 0;      ///< volumes predicted at the same time; 0: no limit
  std::int64_t stop_before = 180;    ///< seconds before the time limit when Slurm warns the job
  std::int64_t restarts = 3;         ///< after a rank died
  std::int64_t requeues = 100;       ///< after it stopped with its state saved
  std::string mpi = "pmix";          ///< of `srun --mpi`
  std::vector<std::string> options;  ///< further options of sbatch, such as --reservation=em
  std::string site_env;              ///< sourced by every job first; "": slurm/site.env where it exists
};

/// The default resources of a small job beside `all`: one node, at most `tasks` tasks of one core,
/// `gib_per_task` of memory each and, where `longest` is not 0, that many seconds, but never more than `all`.
/// Where `all` asks for GPUs, their partition and constraint are left out.
SlurmResources small_resources(const SlurmResources& all, std::int64_t tasks, std::int64_t gib_per_task,
                               std::int64_t longest);

/// The seconds of a time limit as Slurm reads it: MINUTES[:SECONDS], HOURS:MINUTES:SECONDS,
/// DAYS-HOURS[:MINUTES
/// [:SECONDS]]. `time` has one of these forms.
std::int64_t slurm_seconds(const std::string& time);

/// The default resources of a stage that computes without GPUs: those of `all`, with a worker for each GPU
/// of a node where the workers of a node are not given. `worker_memory`: bytes that a worker may use; 0: as
/// `all`.
SlurmResources without_gpus(const SlurmResources& all, std::int64_t worker_memory);

/// Reads `slurm:`. `segment_memory`: bytes of a worker of `segment`, 0 where they are not given. Problems are
/// noted in the document.
SlurmConfig read_slurm(ConfigSection slurm, std::int64_t segment_memory = 0);

}  // namespace tessera
