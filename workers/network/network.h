#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <span>
#include <vector>

#include "workers/network/between_layers.h"
#include "workers/network/network_description.h"

namespace tessera {

/// The network of a description on LibTorch's operators, with gradients. It is the reference for the other
/// engines, and the engine for descriptions that they do not support. Its tensors have the names of
/// `tensors_of`, as in checkpoints.
class Network : public torch::nn::Module {
 public:
  /// Sets weights and biases to 0 and batch normalisation to the identity.
  explicit Network(NetworkDescription description);

  /// Computes logits (n, classes, [d',] h', w') from images (n, in_channels, [d,] h, w). Logits have the type
  /// of the images, float32 or bfloat16; the type of the parameters may differ. The sides must be legal for
  /// `geometry_of`. `between`: may be empty.
  at::Tensor forward(const at::Tensor& images, const BetweenLayers& between = {});
  const NetworkDescription& description() const { return description_; }

  /// Sets one seed for each sample of the next batches. The dropout mask of a sample then depends only on its
  /// seed, not on its batch. Without seeds, dropout draws from LibTorch's generator.
  void set_dropout_seeds(std::vector<std::uint64_t> seeds) { dropout_seeds_ = std::move(seeds); }

 private:
  /// The tensors of one layer. Undefined if the layer has none.
  struct Tensors {
    at::Tensor weight, bias, mean, variance, batches;
  };
  at::Tensor run(std::size_t layer, const std::vector<at::Tensor>& values);
  at::Tensor convolve(const LayerDescription& layer, const Tensors& tensors, const at::Tensor& x) const;
  at::Tensor up_convolve(const LayerDescription& layer, const Tensors& tensors, const at::Tensor& x) const;
  at::Tensor normalise(Tensors& tensors, const at::Tensor& x);
  at::Tensor pool(const LayerDescription& layer, const at::Tensor& x) const;
  at::Tensor drop(const LayerDescription& layer, const at::Tensor& x);
  /// The components of `of` along the axes of the images: (y, x) or (z, y, x).
  std::vector<std::int64_t> along_axes(const Index3& of) const;

  NetworkDescription description_;
  std::vector<Tensors> tensors_;  ///< by layer
  std::vector<int> last_reader_;  ///< by value
  std::vector<int> readers_;      ///< number of readers, by value
  std::vector<std::uint64_t> dropout_seeds_;
  std::uint64_t dropouts_ = 0;  ///< number of dropouts so far in this forward()
};

/// The mask that dropout number `which` of a forward pass, counted from 1, multiplies with the images
/// (n, c, h, w). A value is 0 with probability `dropout`, else 1 / (1 - dropout). Each sample draws with its
/// own seed, in the memory order of its image.
at::Tensor dropout_mask(const at::Tensor& x, double dropout, std::span<const std::uint64_t> seeds,
                        std::uint64_t which);

/// He initialisation as in Ronneberger et al. 2015: weights are Gaussian with std sqrt(2 / N), biases are 0.
/// N is the number of incoming nodes of one neuron (for an up-convolution: kernel volume / stride volume *
/// channels). The same seed gives the same weights on every rank.
void initialise_he(Network& network, std::uint64_t seed);

/// Class probabilities of logits: soft-max over dimension 1, or the sigmoid if there is one class.
at::Tensor class_probabilities(const at::Tensor& logits);

}  // namespace tessera
