#include "workers/network/initial_weights.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "io/base/error.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tensor_array.h"

namespace tessera {
namespace {

/// The path of a tensor in a checkpoint.
std::string stored_path(const TensorDescription& tensor, const Checkpoint& checkpoint) {
  return (tensor.is_parameter() && has_average(checkpoint) ? kAveragePrefix : "weights/") + tensor.name;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

/// The tensors of each layer that has some.
std::map<int, std::vector<TensorDescription>> by_layer(const NetworkDescription& network) {
  std::map<int, std::vector<TensorDescription>> layers;
  for (const TensorDescription& tensor : tensors_of(network))
    layers[tensor.layer].push_back(tensor);
  return layers;
}

const LayerDescription& layer_of(const NetworkDescription& network, int layer) {
  return network.layers.at(static_cast<std::size_t>(layer));
}

bool reads_input(const LayerDescription& layer) {
  return std::ranges::find(layer.inputs, 0) != layer.inputs.end();
}

/// Whether two shapes of a kernel (out, in, ...) differ in the input channels alone.
bool differ_in_channels(std::vector<std::int64_t> one, const std::vector<std::int64_t>& other) {
  if (one.size() != other.size() || one.size() < 3 || one[1] < 1) return false;
  one[1] = other[1];
  return one == other;
}

/// The kernel (out, in, ...) for another number of input channels.
at::Tensor with_channels(const at::Tensor& kernel, std::int64_t channels) {
  const std::int64_t before = kernel.size(1);
  if (channels < before) {
    std::vector<std::int64_t> shape = kernel.sizes().vec();
    shape[1] = channels;
    return kernel.sum(1, true).div(static_cast<double>(channels)).expand(shape);
  }
  std::vector<at::Tensor> parts;
  parts.reserve(static_cast<std::size_t>(channels));
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    const std::int64_t from = channel % before, times = (channels - from + before - 1) / before;
    parts.push_back(kernel.narrow(1, from, 1).div(static_cast<double>(times)));
  }
  return at::cat(parts, 1);
}

}  // namespace

std::string InitialWeights::text() const {
  std::string text = fmt::format("{} layers taken", taken.size());
  if (!adapted.empty())
    text += fmt::format("; adapted to other input channels: {}", fmt::join(adapted, ", "));
  std::vector<std::string> fresh;
  fresh.reserve(initialised.size());
  for (const Left& one : initialised)
    fresh.push_back(fmt::format("{} ({})", one.layer, one.reason));
  if (!fresh.empty()) text += fmt::format("; new: {}", fmt::join(fresh, ", "));
  if (!left_out.empty()) text += fmt::format("; not used: {}", fmt::join(left_out, ", "));
  return text;
}

InitialWeights find_initial_weights(const NetworkDescription& network, const Checkpoint& checkpoint,
                                    const std::string& name) {
  InitialWeights found;
  std::set<std::string> own;
  for (const auto& [index, tensors] : by_layer(network)) {
    const LayerDescription& layer = layer_of(network, index);
    own.insert(layer.name);
    bool is_adapted = false;
    std::string difference;
    for (const TensorDescription& tensor : tensors) {
      const auto stored = checkpoint.arrays.find(stored_path(tensor, checkpoint));
      if (stored == checkpoint.arrays.end()) {
        difference = "not in the checkpoint";
        break;
      }
      if (stored->second.shape == tensor.shape) continue;
      if (tensor.role == TensorDescription::Role::weight && reads_input(layer) &&
          differ_in_channels(stored->second.shape, tensor.shape)) {
        is_adapted = true;
        continue;
      }
      difference = fmt::format("{} has the shape {} there, {} here", tensor.name,
                               shape_text(stored->second.shape), shape_text(tensor.shape));
      break;
    }
    if (!difference.empty())
      found.initialised.push_back({layer.name, difference});
    else
      (is_adapted ? found.adapted : found.taken).push_back(layer.name);
  }
  std::set<std::string> others;
  constexpr std::string_view kWeights = "weights/";
  for (const auto& [path, array] : checkpoint.arrays) {
    if (!path.starts_with(kWeights)) continue;
    const std::string layer = path.substr(kWeights.size(), path.rfind('.') - kWeights.size());
    if (!own.contains(layer)) others.insert(layer);
  }
  found.left_out.assign(others.begin(), others.end());
  if (found.taken.empty() && found.adapted.empty()) {
    throw UsageError(fmt::format(
        "train.initial_weights: no layer of {} fits this network ({}): they need the same model.base_filters",
        name, found.initialised.empty() ? "it has none" : found.initialised.front().reason));
  }
  return found;
}

void take_weights(const InitialWeights& weights, const Checkpoint& checkpoint, const std::string& name,
                  Network& network) {
  const torch::NoGradGuard no_grad;
  auto parameters = network.named_parameters(), buffers = network.named_buffers();
  const std::set<std::string> taken(weights.taken.begin(), weights.taken.end()),
      adapted(weights.adapted.begin(), weights.adapted.end());
  for (const TensorDescription& tensor : tensors_of(network.description())) {
    const std::string& layer = layer_of(network.description(), tensor.layer).name;
    if (!taken.contains(layer) && !adapted.contains(layer)) continue;
    at::Tensor& own = tensor.is_parameter() ? parameters[tensor.name] : buffers[tensor.name];
    const std::string path = stored_path(tensor, checkpoint);
    const auto stored = checkpoint.arrays.find(path);
    if (stored == checkpoint.arrays.end()) throw Error(fmt::format("{} has no array {}", name, path));
    if (stored->second.shape == tensor.shape) {
      copy_array(checkpoint, path, own, name);
      continue;
    }
    at::Tensor kernel = at::empty(stored->second.shape, own.options().device(at::kCPU));
    copy_array(checkpoint, path, kernel, name);
    own.copy_(with_channels(kernel, tensor.shape.at(1)));
  }
}

}  // namespace tessera
