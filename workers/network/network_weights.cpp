#include "workers/network/network_weights.h"

#include <ATen/Functions.h>

#include <map>
#include <string>

#include "workers/network/network.h"

namespace tessera {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

Tensors values_of(const Network& network) {
  Tensors all;
  const auto keep = [&](const auto& items) {
    for (const auto& item : items)
      all.emplace(item.key(), item.value().detach().to(at::kCPU, at::kDouble));
  };
  keep(network.named_parameters());
  keep(network.named_buffers());
  return all;
}

FoldedWeights::Layer layer(const Tensors& tensors, const std::string& name) {
  return {tensors.at(name + ".weight"), tensors.at(name + ".bias")};
}

/// Kernel tap of a 3x3, stride 2 transposed convolution that connects an output pixel to an input pixel.
/// `parity` is that of the output pixel's index; `offset` 1 is input pixel i, 0 is the previous one. Output
/// 2i uses tap 0 of input i and tap 2 of input i - 1. Output 2i + 1 uses tap 1 of input i. -1: no tap.
int tap(int parity, int offset) {
  return parity == 1 ? (offset == 1 ? 1 : -1) : (offset == 1 ? 0 : 2);
}

/// Converts the weights (in, filters, k, k) of a transposed convolution to a convolution with 4 * filters
/// output channels.
at::Tensor spread_weight(const at::Tensor& weight) {
  const std::int64_t in = weight.size(0), filters = weight.size(1);
  if (weight.size(2) == 2) return weight.permute({2, 3, 1, 0}).reshape({4 * filters, in, 1, 1}).contiguous();
  at::Tensor spread = at::zeros({4 * filters, in, 2, 2}, weight.options());
  for (int dy = 0; dy < 2; ++dy) {
    for (int dx = 0; dx < 2; ++dx) {
      at::Tensor rows = spread.narrow(0, (2 * dy + dx) * filters, filters);
      for (int oy = 0; oy < 2; ++oy) {
        for (int ox = 0; ox < 2; ++ox) {
          const int ty = tap(dy, oy), tx = tap(dx, ox);
          if (ty >= 0 && tx >= 0)
            rows.select(3, ox).select(2, oy).copy_(weight.select(3, tx).select(2, ty).t());
        }
      }
    }
  }
  return spread;
}

void to_float(FoldedWeights::Layer& layer) {
  layer.weight = layer.weight.to(at::kFloat).contiguous();
  layer.bias = layer.bias.to(at::kFloat).contiguous();
}

}  // namespace

FoldedWeights fold_weights(const Network& network) {
  using Kind = LayerDescription::Kind;
  const at::NoGradGuard no_grad;
  const NetworkDescription& description = network.description();
  const Tensors tensors = values_of(network);
  FoldedWeights folded;
  for (std::size_t i = 0; i < description.layers.size(); ++i) {
    const LayerDescription& described = description.layers[i];
    folded.layers.emplace_back();
    if (described.kind == Kind::convolution) {
      folded.layers.back() = layer(tensors, described.name);
    } else if (described.kind == Kind::up_convolution) {
      const FoldedWeights::Layer up = layer(tensors, described.name);
      folded.layers.back() = {spread_weight(up.weight), up.bias.repeat({4})};
    } else if (described.kind == Kind::batch_normalisation) {
      FoldedWeights::Layer& conv = folded.layers[static_cast<std::size_t>(described.inputs.front() - 1)];
      const std::string& norm = described.name;
      const at::Tensor scale =
          tensors.at(norm + ".weight") / at::sqrt(tensors.at(norm + ".running_var") + kBatchNormEpsilon);
      conv.weight = conv.weight * scale.reshape({-1, 1, 1, 1});
      conv.bias = (conv.bias - tensors.at(norm + ".running_mean")) * scale + tensors.at(norm + ".bias");
    }
  }
  for (auto& one : folded.layers) {
    if (one.weight.defined()) to_float(one);
  }
  return folded;
}

}  // namespace tessera
