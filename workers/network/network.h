#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <span>
#include <vector>

#include "workers/network/network_description.h"

namespace tessera {

/// The network of a description, computed by LibTorch's operators, with gradients: what the other engines are
/// compared with, and what does the work where they do not support a description. Its tensors have the names
/// of `tensors_of`, which are those in checkpoints.
class Network : public torch::nn::Module {
 public:
  /// Weights and biases are 0, batch normalisation changes nothing.
  explicit Network(NetworkDescription description);

  /// Logits (n, classes, [d',] h', w') of images (n, in_channels, [d,] h, w), in their type: float32 or
  /// bfloat16, whatever that of the parameters. The sides are legal ones of `geometry_of`.
  at::Tensor forward(const at::Tensor& images);
  const NetworkDescription& description() const { return description_; }

  /// One for each sample of the batches to come: what a sample drops in training then depends on its seed
  /// alone, not on the batch that it is in. None: dropout draws from LibTorch's generator.
  void set_dropout_seeds(std::vector<std::uint64_t> seeds) { dropout_seeds_ = std::move(seeds); }

 private:
  /// Of one layer; undefined where it has none.
  struct Tensors {
    at::Tensor weight, bias, mean, variance, batches;
  };
  at::Tensor run(std::size_t layer, const std::vector<at::Tensor>& values);
  at::Tensor convolve(const LayerDescription& layer, const Tensors& by, const at::Tensor& x) const;
  at::Tensor up_convolve(const LayerDescription& layer, const Tensors& by, const at::Tensor& x) const;
  at::Tensor normalise(Tensors& by, const at::Tensor& x);
  at::Tensor pool(const LayerDescription& layer, const at::Tensor& x) const;
  at::Tensor drop(const LayerDescription& layer, const at::Tensor& x);
  /// A quantity along the axes that images have.
  std::vector<std::int64_t> along_axes(const Index3& of) const;

  NetworkDescription description_;
  std::vector<Tensors> tensors_;  ///< by layer
  std::vector<int> last_reader_;  ///< by value
  std::vector<int> readers_;      ///< how many, by value
  std::vector<std::uint64_t> dropout_seeds_;
  std::uint64_t dropouts_ = 0;  ///< so far in this forward()
};

/// What dropout number `which` of a forward pass, counted from 1, multiplies the images (n, c, h, w) with: 0
/// with the probability `dropout`, else 1 / (1 - dropout). Each sample draws by its own seed, in the order in
/// which its image lies in memory.
at::Tensor dropout_mask(const at::Tensor& x, double dropout, std::span<const std::uint64_t> seeds,
                        std::uint64_t which);

/// He initialisation as in the paper: weights Gaussian with std sqrt(2 / N), N the incoming nodes of one
/// neuron (for the up-convolution kernel volume / stride volume * channels); biases 0. The same seed gives
/// the same weights on every rank.
void initialise_he(Network& network, std::uint64_t seed);

/// Class probabilities of logits: soft-max over dimension 1, or the sigmoid when there is one class.
at::Tensor class_probabilities(const at::Tensor& logits);

}  // namespace tessera
