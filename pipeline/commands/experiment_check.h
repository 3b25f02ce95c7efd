#pragma once

#include <ostream>

#include "pipeline/config/experiment.h"

namespace tessera {

/// Opens every input of the experiment's training and inference and writes the plans of both to `out`, as
/// text. `one_volume`: the experiment is already that of one volume. Not collective: one rank calls it.
/// Errors: UsageError and Error for a wrong input, AgreedError with a list when several volumes are wrong.
void check_experiment(const ExperimentConfig& config, bool one_volume, std::ostream& out);

}  // namespace tessera
