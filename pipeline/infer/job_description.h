#pragma once

#include <string>

#include "io/hdf5/checkpoint_file.h"
#include "io/volume/block_journal.h"
#include "pipeline/config/experiment.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/infer/inference_plan.h"

namespace tessera {

/// The keys and values on which the result's bytes depend. A restart with another value is rejected with the
/// key's name. Settings that change no byte are omitted (ranks, threads, file names of weights).
/// `inputs`: with their files. `normalisation`: the normalisation of raw values, as numbers. Errors: Error
/// when the raw volume's file cannot be examined.
JobDescription describe_job(const ExperimentConfig& config, const InferencePlan& plan,
                            const InferenceInputs& inputs, const InferenceNetwork& network,
                            const ChosenNormalisation& normalisation);

/// SHA-256 of the network's options and weights, independent of the file.
std::string network_digest(const Checkpoint& checkpoint);

}  // namespace tessera
