#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <dnnl.hpp>
#include <map>
#include <string>

#include "workers/gradients/flat_parameters.h"

namespace tessera::onednn {

/// The weights of a network's layers in the layouts of oneDNN's primitives.
class LayerWeights {
 public:
  struct Layer {
    std::string name;
    bool is_up = false;                ///< an up-convolution
    std::int64_t gradients_final = 0;  ///< values of the flat gradient that are final once this layer is done
    at::Tensor weight, bias;           ///< float32: (out, in, k, k) of the plain convolution, (out)
    at::Tensor rotated;  ///< float32 (in, out, k, k): for the gradient by the input; may be undefined
    dnnl::memory packed, packed_rotated;  ///< in the engine's type
  };

  /// Of all layers with parameters. `parameters` must outlive it.
  LayerWeights(FlatParameters& parameters, const dnnl::engine& engine, const dnnl::stream& stream);

  /// The layer of this number in the network's description.
  Layer& layer(int number) { return layers_.at(number); }
  /// Views of a layer's parameters, and of its gradient in the flat sums; `part`: ".weight" or ".bias".
  at::Tensor value(const Layer& layer, const char* part);
  at::Tensor gradient(const Layer& layer, const char* part);

  /// To be called before new primitives are made: renews the biases, which primitives read in place.
  void reset_biases();
  /// To be called when the parameters or the packed layouts have changed.
  void changed() { packed_ = false; }
  /// Packs all weights, unless nothing has changed since. Waits for the stream.
  void pack();

 private:
  void read_parameters();
  void pack(const at::Tensor& weight, dnnl::memory& packed);

  FlatParameters& parameters_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<int, Layer> layers_;
  bool packed_ = false;
};

}  // namespace tessera::onednn
