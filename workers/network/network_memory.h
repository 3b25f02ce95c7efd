#pragma once

#include <cstdint>

#include "workers/network/network_description.h"

namespace tessera {

/// Peak memory in bytes of one forward pass of LibTorch's operators over an input of these sides (z, y, x),
/// without the weights. The model was fitted to the measured peak of U-Nets of depth 4 (docs/performance.md).
/// It scales with the number of output values of the convolutions. `value_bytes`: 4 for float32, 2 for
/// bfloat16.
std::int64_t inference_memory(const NetworkDescription& network, const Index3& input,
                              std::int64_t value_bytes);
/// The same for the forward and backward pass of one sample in float32. Includes the parameters, their
/// gradients and two optimizer values per parameter.
std::int64_t training_memory(const NetworkDescription& network, const Index3& input);

}  // namespace tessera
