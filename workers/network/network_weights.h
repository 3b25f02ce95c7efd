#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tessera {

class UNetImpl;

/// A U-Net's weights as inference needs them, float32 on the CPU: batch normalisation folded into the
/// convolution before it, so that each layer is a product, a bias and a ReLU.
struct FoldedWeights {
  struct Layer {
    at::Tensor weight, bias;
  };
  std::vector<Layer> convolutions;  ///< (out, in, 3, 3), in the order of the forward pass
  /// The transposed convolutions as plain ones to 4 times the channels, of which output channel
  /// (2 dy + dx) * filters + f is channel f of the output pixel (2 y + dy, 2 x + dx). (4 filters, in, k, k):
  /// k is 1 for 2x2 kernels; 2 for 3x3 ones, which also see the pixels above and to the left.
  std::vector<Layer> spreads;
  Layer to_classes;  ///< (classes, in, 1, 1)
};

/// Reads a network in whatever mode it is.
FoldedWeights fold_weights(const UNetImpl& network);

}  // namespace tessera
