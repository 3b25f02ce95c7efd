#pragma once

#include <string>
#include <vector>

#include "pipeline/cluster/job_script.h"

namespace tessera {

/// A job of a chain, as the table shows it.
struct JobRow {
  Stage stage = Stage::train;
  std::string name;  ///< in Slurm
  SlurmResources resources;
  std::size_t tasks = 0;  ///< of a job array; 0: no array
  std::string log;        ///< a file name with sbatch's patterns
};

/// A table of jobs, each of which waits for the one before it: name, nodes, tasks, GPUs, memory, time,
/// partition. Notes on the columns follow.
std::string job_table(const std::vector<JobRow>& jobs);

}  // namespace tessera
