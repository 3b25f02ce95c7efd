#pragma once

#include <string>

#include "io/hdf5/checkpoint_file.h"
#include "io/volume/block_journal.h"
#include "pipeline/config/experiment.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/infer/inference_plan.h"

namespace tessera {

/// All that the bytes of an inference's result depend on, a key each; a restart that differs in any of them
/// is refused, naming it. What changes no byte (ranks, threads, file names of weights) is not in it.
/// `normalisation`: how raw values are normalised, as numbers. Errors: Error when the raw volume's file
/// cannot be looked at.
JobDescription describe_job(const ExperimentConfig& config, const InferencePlan& plan,
                            const InferenceNetwork& network, const ChosenNormalisation& normalisation);

/// SHA-256 of the network's options and weights, whatever file they came from.
std::string network_digest(const Checkpoint& checkpoint);

}  // namespace tessera
