#pragma once

#include <memory>

#include "workers/network/tile_network.h"

namespace tessera {

/// A U-Net on oneDNN's primitives: convolution, bias and ReLU in one pass, weights packed once, pooling
/// without indices, the concatenation written in place, all activations in one piece of memory.
/// Computes the same function as UNetImpl::forward in evaluation mode. float32 or bfloat16, CPU.
std::unique_ptr<TileNetwork> make_onednn_network(const UNetImpl& network, Precision precision);

}  // namespace tessera
