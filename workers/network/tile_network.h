#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "workers/device/device.h"
#include "workers/device/precision.h"
#include "workers/network/between_layers.h"
#include "workers/network/network_description.h"

namespace tessera {

class Network;

/// Properties of a network's logits that hold bit for bit. False: not known.
struct Invariance {
  bool translation = false;  ///< logits do not depend on the pixel's position in the input
  bool shape = false;        ///< logits do not depend on the input's height and width
};

/// A network for prediction on one device in one precision: without gradients, batch statistics and dropout.
/// Not thread-safe.
class TileNetwork {
 public:
  virtual ~TileNetwork() = default;
  /// Computes logits, float32 (1, classes, h', w'), from an input, float32 (1, channels, h, w). Both are on
  /// the network's device. h and w must be legal sides. The caller owns the result. Errors: OutOfMemory,
  /// Error.
  virtual at::Tensor logits(const at::Tensor& input) = 0;
  /// The engine and its precision, such as "oneDNN 2.6, bfloat16".
  virtual std::string text() const = 0;
  /// Engines that choose their kernels for the first input set it at that time.
  virtual Invariance invariance() const { return {}; }
  /// For the next passes, where the engine computes layer by layer on the CPU; other engines do not call it.
  void set_between_layers(BetweenLayers call) { between_layers_ = std::move(call); }

 protected:
  BetweenLayers between_layers_;
};

/// Whether this build has the oneDNN engine for the CPU.
bool has_onednn_engine();

/// Makes the fastest engine of this build that supports the network on `device`. This is make_onednn_network
/// on the CPU, make_gpu_network on a GPU, else make_libtorch_network. `network` is copied. Errors: UsageError
/// if the device does not support the precision; Error if it does not support exact tiles and they are
/// required.
std::unique_ptr<TileNetwork> make_tile_network(const Network& network, Precision precision,
                                               const Device& device,
                                               ExactTiles exact_tiles = ExactTiles::automatic);

/// The same network in float32 as a reference. It needs no warm-up, because no kernels are autotuned.
std::unique_ptr<TileNetwork> make_reference_network(const Network& network, const Device& device);

/// Makes a network on LibTorch's operators, for any device and any description. It is the fallback engine and
/// the reference in tests. Errors: UsageError if the device does not support the precision.
std::unique_ptr<TileNetwork> make_libtorch_network(const Network& network, Precision precision,
                                                   const Device& device);

/// Peak memory in bytes of the engine of `make_tile_network` for one input of `height` x `width` pixels,
/// without the weights. It is exact for oneDNN and a fitted model for LibTorch (docs/performance.md). On a
/// GPU (`cuda`) it is the planned activations plus an allowance for cuDNN's workspace.
std::int64_t tile_memory(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                         Precision precision, bool cuda);

}  // namespace tessera
