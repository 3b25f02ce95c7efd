#pragma once

#include <ostream>

#include "pipeline/config/experiment.h"

namespace tessera {

/// Compares an experiment with this machine, for its stages train and infer: the time of each, from some
/// iterations and tiles that are measured for about `measure_s` seconds (0: none, and no times), the cost of
/// averaging, memory and disk space. Writes them to `out`, one fact per line. Not collective. Errors:
/// UsageError when one worker needs more memory than there is, or the results and checkpoints more disk
/// space; those of the plans.
void check_machine(const ExperimentConfig& config, double measure_s, std::ostream& out);

/// Seconds of the training's iterations and validations, from what one sample takes and one pixel's
/// prediction, with all cores or GPUs at work.
double training_time_s(const ExperimentConfig& config, double sample_s, double validation_s, int parallel);

}  // namespace tessera
