#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <span>
#include <vector>

#include "workers/network/unet_options.h"

namespace tessera {

/// Of batch normalisation, as Keras has it.
constexpr double kBatchNormEpsilon = 1e-3;

/// The U-Net of `UNetOptions`. forward() maps (batch, in_channels, h, w) to logits (batch, classes, h', w'),
/// float32 or bfloat16, whatever the
/// parameters' type, with h' = h - 2 margin (valid) or h (same); h and w must be legal sides of
/// `geometry_of(options)`. Parameter names are stable: they are the names in checkpoints.
class UNetImpl : public torch::nn::Module {
 public:
  explicit UNetImpl(const UNetOptions& options);

  torch::Tensor forward(torch::Tensor x);
  const UNetOptions& options() const { return options_; }

  /// One for each sample of the batches to come: what a sample drops in training then depends on its seed
  /// alone, not on the batch that it is in. None: dropout draws from LibTorch's generator.
  void set_dropout_seeds(std::vector<std::uint64_t> seeds) { dropout_seeds_ = std::move(seeds); }

 private:
  static torch::Tensor convolve(torch::nn::Conv2dImpl& layer, const torch::Tensor& x, std::int64_t padding);
  torch::Tensor block(int index, torch::Tensor x);
  torch::Tensor up(int level, const torch::Tensor& x);
  torch::Tensor drop(const torch::Tensor& x);

  UNetOptions options_;
  std::vector<std::uint64_t> dropout_seeds_;
  std::uint64_t dropouts_ = 0;  ///< so far in this forward()
  torch::nn::ModuleList convs_, norms_, ups_;
  torch::nn::Conv2d to_classes_{nullptr};
};
TORCH_MODULE(UNet);

/// What dropout number `which` of a forward pass, counted from 1, multiplies the images (n, c, h, w) with: 0
/// with the probability `dropout`, else 1 / (1 - dropout). Each sample draws by its own seed, in the order in
/// which its image lies in memory.
torch::Tensor dropout_mask(const torch::Tensor& x, double dropout, std::span<const std::uint64_t> seeds,
                           std::uint64_t which);

/// He initialisation as the paper has it: weights Gaussian with std sqrt(2 / N), N the incoming nodes of one
/// neuron (for the up-convolution kernel area / stride area * channels); biases 0. The same seed gives the
/// same weights on every rank.
void initialise_he(UNet& network, std::uint64_t seed);

/// Class probabilities of logits: soft-max over dimension 1, or the sigmoid when there is one class.
torch::Tensor class_probabilities(const torch::Tensor& logits);

}  // namespace tessera
