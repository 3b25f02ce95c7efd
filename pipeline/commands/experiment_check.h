#pragma once

#include <cstdint>
#include <ostream>

#include "pipeline/config/experiment.h"

namespace tessera {

/// Opens every input of the experiment's training, inference and segmentation and writes their plans to
/// `out`, as text. `one_volume`: the experiment is already that of one volume. Not collective: one rank calls
/// it. Errors: UsageError and Error for a wrong input, AgreedError with a list when several volumes are
/// wrong.
void check_experiment(const ExperimentConfig& config, bool one_volume, std::ostream& out);

/// The bytes that a worker of the experiment's segmentation needs, of the first volume; 0 where that is not
/// known yet.
std::int64_t segmentation_memory(const ExperimentConfig& config);

}  // namespace tessera
