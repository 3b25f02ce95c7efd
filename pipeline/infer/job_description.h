#pragma once

#include <string>

#include "io/hdf5/checkpoint_file.h"
#include "io/volume/block_journal.h"
#include "pipeline/config/experiment.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/infer/inference_plan.h"

namespace tessera {

/// Everything that the bytes of an inference's result depend on, a key each. A restart with another value is
/// rejected with the name of the key. Settings that change no byte (ranks, threads, file names of weights)
/// are left out. `normalisation`: how raw values are normalised, as numbers. Errors: Error when the raw
/// volume's file cannot be looked at.
JobDescription describe_job(const ExperimentConfig& config, const InferencePlan& plan,
                            const InferenceNetwork& network, const ChosenNormalisation& normalisation);

/// SHA-256 of the network's options and weights, whatever file they came from.
std::string network_digest(const Checkpoint& checkpoint);

}  // namespace tessera
