#pragma once

#include <ostream>

#include "pipeline/config/experiment.h"

namespace tessera {

/// Opens all that the experiment's training and inference read, and plans both: the plan goes to `out`, as
/// text for people. `one_volume`: the experiment is one volume's already. Not collective: for one rank alone.
/// Errors: UsageError and Error with what is wrong with the inputs, AgreedError with the list of volumes that
/// are.
void check_experiment(const ExperimentConfig& config, bool one_volume, std::ostream& out);

}  // namespace tessera
