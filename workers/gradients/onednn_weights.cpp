#include "workers/gradients/onednn_weights.h"

#include <ATen/Functions.h>

#include "workers/gradients/gradient_kernels.h"
#include "workers/network/network.h"

namespace tessera::onednn {

LayerWeights::LayerWeights(FlatParameters& parameters, const dnnl::engine& engine, const dnnl::stream& stream)
    : parameters_(parameters), engine_(engine), stream_(stream) {
  int number = 0;
  for (const LayerDescription& described : parameters.network().description().layers) {
    if (!described.name.empty()) {
      Layer& layer = layers_[number];
      layer.name = described.name;
      layer.is_up = described.kind == LayerDescription::Kind::up_convolution;
      const auto& bias = parameters_.entry(layer.name + ".bias");
      layer.gradients_final = bias.begin + bias.count();
    }
    ++number;
  }
}

at::Tensor LayerWeights::value(const Layer& layer, const char* part) {
  return FlatParameters::piece(parameters_.values(), parameters_.entry(layer.name + part));
}

at::Tensor LayerWeights::gradient(const Layer& layer, const char* part) {
  return FlatParameters::piece(parameters_.sums(), parameters_.entry(layer.name + part));
}

void LayerWeights::reset_biases() {
  for (auto& [number, layer] : layers_) {
    layer.bias = value(layer, ".bias");
    if (layer.is_up) layer.bias = at::empty({4 * layer.bias.numel()}, at::kFloat);
  }
}

/// Plain convolutions read the parameters where they are; an up-convolution is a 1x1 convolution to four
/// times the channels, of which (2 dy + dx) * filters + f is channel f of the output pixel (dy, dx).
void LayerWeights::read_parameters() {
  for (auto& [number, layer] : layers_) {
    if (layer.is_up) {
      const at::Tensor weight = value(layer, ".weight");
      const std::int64_t in = weight.size(0), out = 4 * weight.size(1);
      layer.weight = weight.permute({2, 3, 1, 0}).reshape({out, in, 1, 1}).contiguous();
      layer.bias.copy_(value(layer, ".bias").repeat({4}));
      layer.rotated.copy_(layer.weight.transpose(0, 1));
      continue;
    }
    layer.weight = value(layer, ".weight");
    layer.bias = value(layer, ".bias");
    if (layer.rotated.defined()) {
      rotate_kernels(layer.weight.data_ptr<float>(), layer.weight.size(0), layer.weight.size(1),
                     layer.weight.size(2), layer.rotated.data_ptr<float>());
    }
  }
}

void LayerWeights::pack() {
  if (packed_) return;
  read_parameters();
  for (auto& [number, layer] : layers_) {
    pack(layer.weight, layer.packed);
    if (layer.rotated.defined()) pack(layer.rotated, layer.packed_rotated);
  }
  stream_.wait();
  packed_ = true;
}

void LayerWeights::pack(const at::Tensor& weight, dnnl::memory& packed) {
  const dnnl::memory::dims dims{weight.size(0), weight.size(1), weight.size(2), weight.size(3)};
  dnnl::memory from({dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::oihw}, engine_,
                    weight.data_ptr());
  dnnl::reorder(from, packed).execute(stream_, from, packed);
}

}  // namespace tessera::onednn
