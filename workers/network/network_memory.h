#pragma once

#include <cstdint>

#include "workers/network/network_description.h"

namespace tessera {

/// Bytes that one forward pass of LibTorch's operators over an input of these sides needs beside the weights,
/// from a model that was fitted to the measured peak of U-Nets of depth 4 (docs/performance.md): in
/// proportion to the values that the convolutions of a description make. `value_bytes`: 4 for float32, 2 for
/// bfloat16.
std::int64_t inference_memory(const NetworkDescription& network, const Index3& input,
                              std::int64_t value_bytes);
/// The same for forward and backward together, one sample, in float32; with the parameters, their gradients
/// and two values of the optimizer for each.
std::int64_t training_memory(const NetworkDescription& network, const Index3& input);

}  // namespace tessera
