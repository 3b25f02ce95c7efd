#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "pipeline/config/slurm_config.h"

namespace tessera {

/// The stages of an experiment, in their order. Each is a job and a verb.
enum class Stage { train, infer, segment, evaluate, report };
constexpr auto enum_names(Stage) {
  return std::to_array<EnumName<Stage>>({{Stage::train, "train"},
                                         {Stage::infer, "infer"},
                                         {Stage::segment, "segment"},
                                         {Stage::evaluate, "evaluate"},
                                         {Stage::report, "report"}});
}
/// Errors: UsageError with the names of the stages.
Stage stage_of(const std::string& name);

const SlurmResources& resources_of(Stage stage, const SlurmConfig& config);

/// The name of a stage's job in Slurm: "tessera-train-EXPERIMENT". Forbidden characters become '_'.
std::string job_name(Stage stage, const std::string& experiment);

/// The batch script of a stage: `#SBATCH` lines from the config, then the whole of slurm/job.bash. Its only
/// text from the user is that of the checked keys of `slurm:`. All names of files are arguments of the
/// script:
///   PROGRAM FOLDER SITE_ENV CONFIG...
/// `tasks`: the size of a job array, one task for each CONFIG; 0: no array.
/// `experiment`: part of the job's name.
std::string job_script(Stage stage, const SlurmConfig& config, const std::string& experiment,
                       std::int64_t tasks);

}  // namespace tessera
