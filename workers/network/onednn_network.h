#pragma once

#include <memory>

#include "workers/network/tile_network.h"

namespace tessera {

/// Whether `make_onednn_network` computes such a network, in float32 or bfloat16.
bool onednn_supports(const NetworkDescription& network, Precision precision);

/// A network on oneDNN's primitives: convolution, bias and ReLU in one pass, weights packed once, pooling
/// without indices, the concatenation written in place, all activations in one piece of memory.
/// Computes the same function as Network::forward in evaluation mode. CPU. Only where
/// `onednn_supports`.
std::unique_ptr<TileNetwork> make_onednn_network(const Network& network, Precision precision);

}  // namespace tessera
