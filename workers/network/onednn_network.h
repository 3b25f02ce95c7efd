#pragma once

#include <memory>

#include "workers/network/tile_network.h"

namespace tessera {

/// Whether `make_onednn_network` supports a network in `precision`: float32 or bfloat16.
bool onednn_supports(const NetworkDescription& network, Precision precision);

/// Makes a network on oneDNN's primitives, for the CPU. Requires `onednn_supports`. It computes the same
/// function as Network::forward in evaluation mode. Convolution, bias and ReLU are fused, weights are packed
/// once, pooling writes no indices, and the concatenation is written in place. All activations are in one
/// memory block. Errors: UsageError if the processor does not support `precision`.
std::unique_ptr<TileNetwork> make_onednn_network(const Network& network, Precision precision);

}  // namespace tessera
