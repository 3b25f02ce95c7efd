#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tessera {

class Network;

/// A network's weights for inference, float32 on the CPU. Batch normalisation is folded into the convolution
/// before it, so each layer is a product, a bias and a ReLU.
struct FoldedWeights {
  struct Layer {
    at::Tensor weight, bias;
  };
  /// By layer of the description. Undefined for layers without weights.
  /// Convolutions: (out, in, k, k). Up-convolutions of stride 2 are stored as convolutions with 4 times the
  /// channels: (4 filters, in, k, k). Output channel (2 dy + dx) * filters + f is channel f of the output
  /// pixel (2 y + dy, 2 x + dx). k is 1 for 2x2 kernels. k is 2 for 3x3 kernels, which also read the pixels
  /// above and to the left.
  std::vector<Layer> layers;

  const Layer& of(int layer) const { return layers.at(static_cast<std::size_t>(layer)); }
};

/// Folds the weights of a network, in training or evaluation mode. Requires `can_plan_forward`.
FoldedWeights fold_weights(const Network& network);

}  // namespace tessera
