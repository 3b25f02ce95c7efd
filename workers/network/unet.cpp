#include "workers/network/unet.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <torch/nn/functional/dropout.h>
#include <torch/utils.h>

#include <cmath>
#include <map>
#include <mutex>
#include <utility>

#include "workers/numbers/bit_mix.h"

namespace tessera {
namespace {

/// The middle of `skip`, as large as `like` (the paper's "copy and crop").
torch::Tensor crop_to(const torch::Tensor& skip, const torch::Tensor& like) {
  const std::int64_t height = like.size(2), width = like.size(3);
  return skip.narrow(2, (skip.size(2) - height) / 2, height).narrow(3, (skip.size(3) - width) / 2, width);
}

}  // namespace

UNetImpl::UNetImpl(const UNetOptions& options) : options_(options) {
  convs_ = register_module("convs", torch::nn::ModuleList());
  norms_ = register_module("norms", torch::nn::ModuleList());
  ups_ = register_module("ups", torch::nn::ModuleList());
  const int padding = options.padding == Padding::same ? 1 : 0;
  const auto add_block = [&](std::int64_t in, std::int64_t filters) {
    for (int c = 0; c < options.block_convs; ++c, in = filters) {
      convs_->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(in, filters, 3).padding(padding)));
      if (options.batch_norm) {
        // Keras' defaults: momentum 0.99 of the old value, epsilon 1e-3.
        norms_->push_back(torch::nn::BatchNorm2d(
            torch::nn::BatchNorm2dOptions(filters).momentum(0.01).eps(kBatchNormEpsilon)));
      }
    }
  };
  std::int64_t in = options.in_channels;
  for (int level = 0; level <= options.depth; ++level) {
    const std::int64_t filters = options.base_filters << level;
    add_block(in, filters);
    in = filters;
  }
  for (int level = options.depth - 1; level >= 0; --level) {
    const std::int64_t filters = options.base_filters << level;
    ups_->push_back(torch::nn::ConvTranspose2d(
        torch::nn::ConvTranspose2dOptions(2 * filters, filters, options.up_kernel).stride(2)));
    add_block(2 * filters, filters);
  }
  to_classes_ = register_module(
      "to_classes", torch::nn::Conv2d(torch::nn::Conv2dOptions(options.base_filters, options.classes, 1)));
}

/// In the type of `x`, whatever that of the parameters: bfloat16 in training, which keeps float32 ones.
torch::Tensor UNetImpl::convolve(torch::nn::Conv2dImpl& layer, const torch::Tensor& x, std::int64_t padding) {
  return at::conv2d(x, layer.weight.to(x.scalar_type()), layer.bias.to(x.scalar_type()), 1, padding);
}

torch::Tensor UNetImpl::block(int index, torch::Tensor x) {
  const std::int64_t padding = options_.padding == Padding::same ? 1 : 0;
  for (int c = 0; c < options_.block_convs; ++c) {
    const auto at = static_cast<std::size_t>(index * options_.block_convs + c);
    x = convolve(*convs_[at]->as<torch::nn::Conv2d>(), x, padding);
    if (options_.batch_norm) {
      auto* norm = norms_[at]->as<torch::nn::BatchNorm2d>();
      const at::ScalarType type = x.scalar_type();
      // Its means and deviations are of many values: in the parameters' type.
      x = norm->forward(x.to(norm->weight.scalar_type())).to(type);
    }
    x = at::relu_(x);
  }
  return x;
}

torch::Tensor UNetImpl::up(int level, const torch::Tensor& x) {
  auto* layer = ups_[static_cast<std::size_t>(options_.depth - 1 - level)]->as<torch::nn::ConvTranspose2d>();
  const torch::Tensor weight = layer->weight.to(x.scalar_type()), bias = layer->bias.to(x.scalar_type());
  const bool bfloat16_cpu = x.is_cpu() && x.scalar_type() == at::kBFloat16;
  if (options_.up_kernel == 2 && bfloat16_cpu) {
    // LibTorch 1.13 has no bfloat16 transposed convolution on the CPU; each input pixel makes its own 2x2
    // output pixels, so a 1x1 convolution to 4 times the channels and a shuffle are the same function.
    const std::int64_t filters = weight.size(1);
    const auto flat = weight.permute({1, 2, 3, 0}).reshape({4 * filters, weight.size(0), 1, 1});
    return at::pixel_shuffle(at::conv2d(x, flat, bias.repeat_interleave(4)), 2);
  }
  torch::Tensor y =
      bfloat16_cpu ? at::conv_transpose2d(x.to(at::kFloat), weight.to(at::kFloat), bias.to(at::kFloat), 2)
                         .to(at::kBFloat16)
                   : at::conv_transpose2d(x, weight, bias, 2);
  // A 3x3 kernel leaves one row and one column too many; Keras' 'same' drops the last ones.
  return y.narrow(2, 0, 2 * x.size(2)).narrow(3, 0, 2 * x.size(3));
}

torch::Tensor UNetImpl::drop(const torch::Tensor& x) {
  if (!is_training() || options_.dropout <= 0) return x;
  if (dropout_seeds_.empty()) return at::dropout(x, options_.dropout, true);
  return x * dropout_mask(x.detach(), options_.dropout, dropout_seeds_, ++dropouts_);
}

namespace {

/// A device's generator for dropout alone: a CUDA graph takes hold of the default one, and a recording that
/// fails leaves that unusable. Made once, for LibTorch 1.13 never frees a clone, and never destroyed, for
/// CUDA may end before.
at::Generator& dropout_generator(const at::Device& device) {
  static std::mutex mutex;
  static auto& made = *new std::map<std::pair<at::DeviceType, int>, at::Generator>();
  const std::lock_guard lock(mutex);
  at::Generator& generator = made[{device.type(), device.index()}];
  if (!generator.defined()) generator = at::globalContext().defaultGenerator(device).clone();
  return generator;
}

}  // namespace

torch::Tensor dropout_mask(const torch::Tensor& x, double dropout, std::span<const std::uint64_t> seeds,
                           std::uint64_t which) {
  at::Generator& generator = dropout_generator(x.device());
  const double kept = 1 - dropout;
  torch::Tensor mask = at::empty_like(x);
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    {
      const std::lock_guard lock(generator.mutex());
      generator.set_current_seed(mix_bits(seeds[i] + which));
    }
    mask.select(0, static_cast<std::int64_t>(i)).bernoulli_(kept, generator);
  }
  return mask.div_(kept);
}

torch::Tensor UNetImpl::forward(torch::Tensor x) {
  const bool at_end = options_.dropout_place == DropoutPlace::end_of_contraction;
  std::vector<torch::Tensor> skips;
  dropouts_ = 0;
  for (int level = 0; level <= options_.depth; ++level) {
    x = block(level, x);
    // The authors' network drops after the blocks of the two deepest levels, before pooling and copying.
    if (at_end && level >= options_.depth - 1) x = drop(x);
    if (level == options_.depth) break;
    skips.push_back(x);
    x = at::max_pool2d(x, 2);
    if (!at_end) x = drop(x);
  }
  for (int level = options_.depth - 1; level >= 0; --level) {
    x = up(level, x);
    x = at::cat({crop_to(skips[static_cast<std::size_t>(level)], x), x}, 1);
    skips.pop_back();
    if (!at_end) x = drop(x);
    x = block(2 * options_.depth - level, x);
  }
  return convolve(*to_classes_, x, 0);
}

void initialise_he(UNet& network, std::uint64_t seed) {
  torch::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const double stride_area = 4;
  for (auto& item : network->named_parameters()) {
    torch::Tensor& parameter = item.value();
    if (parameter.dim() != 4) {
      // Biases and the shift of batch normalisation 0, its scale 1.
      const bool scale = item.key().find("norms") == 0 && item.key().find("weight") != std::string::npos;
      parameter.fill_(scale ? 1.0 : 0.0);
      continue;
    }
    const auto area = static_cast<double>(parameter.size(2) * parameter.size(3));
    const bool up = item.key().find("ups") == 0;
    const double incoming = up ? static_cast<double>(parameter.size(0)) * area / stride_area
                               : static_cast<double>(parameter.size(1)) * area;
    parameter.copy_(at::normal(0.0, std::sqrt(2.0 / incoming), parameter.sizes(), generator));
  }
}

torch::Tensor class_probabilities(const torch::Tensor& logits) {
  return logits.size(1) == 1 ? at::sigmoid(logits) : at::softmax(logits, 1);
}

}  // namespace tessera
