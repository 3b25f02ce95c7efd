#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "workers/device/device.h"
#include "workers/device/precision.h"
#include "workers/network/network_description.h"

namespace tessera {

class Network;

/// What is known of a network's logits, bit for bit.
struct Invariance {
  bool translation = false;  ///< a pixel's do not depend on where it is in an input
  bool shape = false;        ///< nor on the input's height and width
};

/// A network made ready to predict on one device in one precision: no gradients, no batch statistics, no
/// dropout. Not thread-safe.
class TileNetwork {
 public:
  virtual ~TileNetwork() = default;
  /// Logits, float32 (1, classes, h', w'), of an input, float32 (1, channels, h, w), both on the network's
  /// device. h and w are legal sides. The result is the caller's. Errors: OutOfMemory, Error.
  virtual at::Tensor logits(const at::Tensor& input) = 0;
  /// Which engine this is, such as "oneDNN 2.6, bfloat16".
  virtual std::string text() const = 0;
  /// Engines that choose their kernels by the first input know it after that.
  virtual Invariance invariance() const { return {}; }
};

/// Whether `make_tile_network` runs on oneDNN on the CPU itself in this build.
bool has_onednn_engine();

/// The fastest engine of this build that supports the network on `device`: on the CPU oneDNN's fused
/// primitives, on a GPU LibTorch's kernels as gpu_network.h arranges them, else LibTorch's own operators.
/// `network` is copied, not changed. Errors: UsageError for a precision that the device lacks; Error for
/// exact tiles that it cannot make.
std::unique_ptr<TileNetwork> make_tile_network(const Network& network, Precision precision,
                                               const Device& device,
                                               ExactTiles exact_tiles = ExactTiles::automatic);

/// The same network in float32 for a comparison. It is ready at once, because no kernels are autotuned.
std::unique_ptr<TileNetwork> make_reference_network(const Network& network, const Device& device);

/// LibTorch's own operators, on any device: the engine where there is no other, and what others are compared
/// with. Any description. Errors: UsageError for a precision that the device lacks.
std::unique_ptr<TileNetwork> make_libtorch_network(const Network& network, Precision precision,
                                                   const Device& device);

/// Bytes beside the weights that `make_tile_network`'s engine needs at its peak for one input of `height` x
/// `width`, exact for oneDNN, a fitted model for LibTorch (docs/performance.md), and on a GPU (`cuda`) the
/// planned activations with room for cuDNN's workspace.
std::int64_t tile_memory(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                         Precision precision, bool cuda);

}  // namespace tessera
