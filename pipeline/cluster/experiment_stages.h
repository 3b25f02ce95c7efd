#pragma once

#include <set>

#include "pipeline/cluster/job_script.h"
#include "pipeline/config/experiment.h"

namespace tessera {

/// Whether the experiment names annotated volumes.
bool has_training_data(const ExperimentConfig& config);

/// The stages whose inputs the experiment names.
std::set<Stage> stages_of(const ExperimentConfig& config);

}  // namespace tessera
