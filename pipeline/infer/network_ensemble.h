#pragma once

#include <vector>

#include "pipeline/infer/inference_network.h"

namespace tessera {

/// One network that averages the probabilities of all (`infer.ensemble`). `own_normalisation`: each network
/// reads voxels as it was trained on them; else all read them alike. It has the facts of the first network:
/// its name is that of the first file and the number of others. There is at least one. Errors: UsageError
/// where the networks do not fit together.
InferenceNetwork ensemble_of(std::vector<InferenceNetwork> networks, bool own_normalisation);

}  // namespace tessera
