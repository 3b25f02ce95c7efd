#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/slurm_config.h"

namespace tessera {

/// The parts of an experiment, in their order; each is a job, and a verb.
enum class Stage { train, infer, evaluate, report };
std::string name_of(Stage stage);
/// Errors: UsageError naming the stages that there are.
Stage stage_of(const std::string& name);
std::vector<Stage> all_stages();

const SlurmResources& resources_of(Stage stage, const SlurmConfig& config);

/// The batch script of a stage: `#SBATCH` lines from the config, then slurm/job.bash, whole. Nothing in it
/// comes from the user but the checked words of `slurm:`; all names of files are arguments of the script:
///   PROGRAM FOLDER SITE_ENV CONFIG...
/// `tasks`: of a job array (0: none), one for each CONFIG.
/// `experiment`: for the job's name; characters that a name must not have become '_'.
std::string job_script(Stage stage, const SlurmConfig& config, const std::string& experiment,
                       std::int64_t tasks);

}  // namespace tessera
