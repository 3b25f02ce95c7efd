#include "workers/network/network_description.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "io/base/error.h"

namespace tessera {
namespace {

using Kind = LayerDescription::Kind;
using Role = TensorDescription::Role;

}  // namespace

int NetworkDescription::add(LayerDescription layer) {
  layer.in_channels = 0;
  for (const int value : layer.inputs)
    layer.in_channels += channels_of(value);
  if (layer.out_channels == 0) layer.out_channels = layer.in_channels;
  layers.push_back(std::move(layer));
  return static_cast<int>(layers.size());
}

int NetworkDescription::convolution(int value, const std::string& name, std::int64_t channels,
                                    const Window& window) {
  return add({.kind = Kind::convolution,
              .name = name,
              .inputs = {value},
              .out_channels = channels,
              .window = window});
}

int NetworkDescription::up_convolution(int value, const std::string& name, std::int64_t channels,
                                       const Window& window) {
  return add({.kind = Kind::up_convolution,
              .name = name,
              .inputs = {value},
              .out_channels = channels,
              .window = window});
}

int NetworkDescription::max_pooling(int value, const Window& window) {
  return add({.kind = Kind::max_pooling, .inputs = {value}, .window = window});
}

int NetworkDescription::crop_and_concatenation(int skip, int value) {
  return add({.kind = Kind::crop_and_concatenation, .inputs = {skip, value}});
}

int NetworkDescription::batch_normalisation(int value, const std::string& name) {
  return add({.kind = Kind::batch_normalisation, .name = name, .inputs = {value}});
}

int NetworkDescription::relu(int value) {
  return add({.kind = Kind::relu, .inputs = {value}});
}

int NetworkDescription::dropout(int value, double probability) {
  if (probability <= 0) return value;
  return add({.kind = Kind::dropout, .inputs = {value}, .dropout = probability});
}

std::int64_t NetworkDescription::channels_of(int value) const {
  return value == 0 ? in_channels : layers.at(static_cast<std::size_t>(value - 1)).out_channels;
}

bool NetworkDescription::has_batch_statistics() const {
  return std::ranges::any_of(
      layers, [](const LayerDescription& layer) { return layer.kind == Kind::batch_normalisation; });
}

std::vector<int> NetworkDescription::readers_of(int value) const {
  std::vector<int> readers;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (std::ranges::find(layers[i].inputs, value) != layers[i].inputs.end())
      readers.push_back(static_cast<int>(i));
  }
  return readers;
}

std::int64_t TensorDescription::count() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<TensorDescription> tensors_of(const NetworkDescription& network) {
  std::vector<TensorDescription> tensors;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const LayerDescription& layer = network.layers[i];
    const auto add = [&](const char* part, std::vector<std::int64_t> shape, Role role) {
      tensors.push_back({layer.name + "." + part, std::move(shape), role, static_cast<int>(i)});
    };
    if (layer.kind == Kind::convolution || layer.kind == Kind::up_convolution) {
      std::vector<std::int64_t> shape{layer.out_channels, layer.in_channels};
      if (layer.kind == Kind::up_convolution) std::swap(shape[0], shape[1]);
      for (int axis = 3 - network.dimensions; axis < 3; ++axis)
        shape.push_back(layer.window.kernel[axis]);
      add("weight", std::move(shape), Role::weight);
      add("bias", {layer.out_channels}, Role::bias);
    } else if (layer.kind == Kind::batch_normalisation) {
      add("weight", {layer.out_channels}, Role::scale);
      add("bias", {layer.out_channels}, Role::shift);
      add("running_mean", {layer.out_channels}, Role::running_mean);
      add("running_var", {layer.out_channels}, Role::running_variance);
      add("num_batches_tracked", {}, Role::batch_count);
    }
  }
  return tensors;
}

std::int64_t parameter_count(const NetworkDescription& network) {
  std::int64_t count = 0;
  for (const TensorDescription& tensor : tensors_of(network)) {
    if (tensor.is_parameter()) count += tensor.count();
  }
  return count;
}

double forward_flop(const NetworkDescription& network, const Index3& input) {
  const std::vector<Index3> shapes = value_shapes(network, input);
  double flop = 0;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const LayerDescription& layer = network.layers[i];
    // A transposed convolution multiplies once per tap and input voxel, a convolution once per tap and output
    // voxel.
    const bool up = layer.kind == Kind::up_convolution;
    if (!up && layer.kind != Kind::convolution) continue;
    const Index3& voxels = up ? shapes[static_cast<std::size_t>(layer.inputs[0])] : shapes[i + 1];
    flop += 2 * static_cast<double>(layer.in_channels * layer.out_channels * volume_of(layer.window.kernel)) *
            static_cast<double>(volume_of(voxels));
  }
  return flop;
}

std::int64_t widest_image(const NetworkDescription& network) {
  const std::vector<Index3> scales = value_scales(network);
  std::int64_t widest = 0;
  for (std::size_t value = 0; value < scales.size(); ++value)
    widest =
        std::max(widest, ceil_div(network.channels_of(static_cast<int>(value)), volume_of(scales[value])));
  return widest;
}

std::string difference_between(const NetworkDescription& here, const NetworkDescription& there) {
  std::string text;
  for (const auto& [name, value] : here.options.counts) {
    const auto other = there.options.counts.find(name);
    if (other == there.options.counts.end() || other->second == value) continue;
    text += fmt::format("{}{} is {} here, {} there", text.empty() ? "" : "; ", name, value, other->second);
  }
  return text;
}

}  // namespace tessera
