#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tessera {

class Network;

/// A network's weights as inference needs them, float32 on the CPU: batch normalisation folded into the
/// convolution before it, so that each layer is a product, a bias and a ReLU.
struct FoldedWeights {
  struct Layer {
    at::Tensor weight, bias;
  };
  /// By layer of the description; undefined where that has none of its own.
  /// Convolutions: (out, in, k, k). Up-convolutions of stride 2 as plain ones to 4 times the channels, of
  /// which output channel (2 dy + dx) * filters + f is channel f of the output pixel (2 y + dy, 2 x + dx): (4
  /// filters, in, k, k), where k is 1 for 2x2 kernels; 2 for 3x3 ones, which also see the pixels above and to
  /// the left.
  std::vector<Layer> layers;

  const Layer& of(int layer) const { return layers.at(static_cast<std::size_t>(layer)); }
};

/// Reads a network in whatever mode it is. Only where `can_plan_forward`.
FoldedWeights fold_weights(const Network& network);

}  // namespace tessera
