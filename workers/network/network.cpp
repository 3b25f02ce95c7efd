#include "workers/network/network.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <torch/utils.h>

#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "workers/numbers/bit_mix.h"

namespace tessera {
namespace {

using Kind = LayerDescription::Kind;
using Role = TensorDescription::Role;

/// The module of a layer: for "convs.0", module "0" of module "convs". Modules are created at their first
/// use, which gives the order of parameters().
torch::nn::Module& module_of(torch::nn::Module& root, const std::string& name) {
  const std::size_t dot = name.find('.');
  const std::string first = name.substr(0, dot);
  const auto children = root.named_children();
  std::shared_ptr<torch::nn::Module> child;
  if (const auto* found = children.find(first); found != nullptr) {
    child = *found;
  } else {
    child = root.register_module(first, std::make_shared<torch::nn::Module>(first));
  }
  return dot == std::string::npos ? *child : module_of(*child, name.substr(dot + 1));
}

at::Tensor initial(const TensorDescription& tensor) {
  if (tensor.role == Role::batch_count) return at::zeros({}, at::kLong);
  const bool one = tensor.role == Role::scale || tensor.role == Role::running_variance;
  return one ? at::ones(tensor.shape) : at::zeros(tensor.shape);
}

/// The centre of `skip`, with the sides of `like` ("copy and crop" of Ronneberger et al. 2015).
at::Tensor crop_to(at::Tensor skip, const at::Tensor& like) {
  for (std::int64_t axis = 2; axis < skip.dim(); ++axis)
    skip = skip.narrow(axis, (skip.size(axis) - like.size(axis)) / 2, like.size(axis));
  return skip;
}

}  // namespace

Network::Network(NetworkDescription description)
    : torch::nn::Module("Network"),
      description_(std::move(description)),
      tensors_(description_.layers.size()),
      last_reader_(description_.layers.size() + 1, -1),
      readers_(description_.layers.size() + 1, 0) {
  for (std::size_t i = 0; i < description_.layers.size(); ++i) {
    for (const int value : description_.layers[i].inputs) {
      last_reader_[static_cast<std::size_t>(value)] = static_cast<int>(i);
      ++readers_[static_cast<std::size_t>(value)];
    }
  }
  for (const TensorDescription& tensor : tensors_of(description_)) {
    const std::string& layer = description_.layers[static_cast<std::size_t>(tensor.layer)].name;
    torch::nn::Module& module = module_of(*this, layer);
    const std::string part = tensor.name.substr(layer.size() + 1);
    const at::Tensor made = tensor.is_parameter() ? module.register_parameter(part, initial(tensor))
                                                  : module.register_buffer(part, initial(tensor));
    Tensors& all = tensors_[static_cast<std::size_t>(tensor.layer)];
    const std::map<Role, at::Tensor*> places{
        {Role::weight, &all.weight},      {Role::bias, &all.bias},
        {Role::scale, &all.weight},       {Role::shift, &all.bias},
        {Role::running_mean, &all.mean},  {Role::running_variance, &all.variance},
        {Role::batch_count, &all.batches}};
    *places.at(tensor.role) = made;
  }
}

at::Tensor Network::forward(const at::Tensor& images, const BetweenLayers& between) {
  dropouts_ = 0;
  std::vector<at::Tensor> values{images};
  for (std::size_t i = 0; i < description_.layers.size(); ++i) {
    if (between) between();
    values.push_back(run(i, values));
    for (const int value : description_.layers[i].inputs) {
      const auto at = static_cast<std::size_t>(value);
      if (last_reader_[at] == static_cast<int>(i)) values[at] = at::Tensor();
    }
  }
  return values.back();
}

at::Tensor Network::run(std::size_t number, const std::vector<at::Tensor>& values) {
  const LayerDescription& layer = description_.layers[number];
  Tensors& tensors = tensors_[number];
  const auto first = static_cast<std::size_t>(layer.inputs.front());
  at::Tensor x = values[first];
  switch (layer.kind) {
    case Kind::convolution:
      return convolve(layer, tensors, x);
    case Kind::up_convolution:
      return up_convolve(layer, tensors, x);
    case Kind::max_pooling:
      return pool(layer, x);
    case Kind::crop_and_concatenation: {
      const at::Tensor& second = values[static_cast<std::size_t>(layer.inputs[1])];
      return at::cat({crop_to(x, second), second}, 1);
    }
    case Kind::batch_normalisation:
      return normalise(tensors, x);
    case Kind::dropout:
      return drop(layer, x);
    case Kind::relu:
      break;
  }
  // In place if no other layer reads the image and the image is not the caller's input.
  return first > 0 && readers_[first] == 1 ? at::relu_(x) : at::relu(x);
}

std::vector<std::int64_t> Network::along_axes(const Index3& of) const {
  return description_.dimensions == 2 ? std::vector<std::int64_t>{of.y, of.x}
                                      : std::vector<std::int64_t>{of.z, of.y, of.x};
}

/// Computes in the type of `x`: training in bfloat16 keeps float32 parameters.
at::Tensor Network::convolve(const LayerDescription& layer, const Tensors& tensors,
                             const at::Tensor& x) const {
  const at::Tensor weight = tensors.weight.to(x.scalar_type()), bias = tensors.bias.to(x.scalar_type());
  const Window& window = layer.window;
  const auto stride = along_axes(window.stride), padding = along_axes(window.padding),
             dilation = along_axes(window.dilation);
  return description_.dimensions == 2 ? at::conv2d(x, weight, bias, stride, padding, dilation)
                                      : at::conv3d(x, weight, bias, stride, padding, dilation);
}

at::Tensor Network::up_convolve(const LayerDescription& layer, const Tensors& tensors,
                                const at::Tensor& x) const {
  const at::Tensor weight = tensors.weight.to(x.scalar_type()), bias = tensors.bias.to(x.scalar_type());
  const bool plane = description_.dimensions == 2;
  const bool bfloat16_cpu = x.is_cpu() && x.scalar_type() == at::kBFloat16;
  const Index3 two{1, 2, 2};
  if (plane && layer.window.kernel == two && layer.window.stride == two && bfloat16_cpu) {
    // LibTorch 1.13 has no bfloat16 transposed convolution on the CPU. Each input pixel determines 2x2 output
    // pixels, so a 1x1 convolution to 4 times the channels and a pixel shuffle compute the same.
    const std::int64_t filters = weight.size(1);
    const auto flat = weight.permute({1, 2, 3, 0}).reshape({4 * filters, weight.size(0), 1, 1});
    return at::pixel_shuffle(at::conv2d(x, flat, bias.repeat_interleave(4)), 2);
  }
  const auto stride = along_axes(layer.window.stride);
  const auto transposed = [&](const at::Tensor& in, const at::Tensor& w, const at::Tensor& b) {
    return plane ? at::conv_transpose2d(in, w, b, stride) : at::conv_transpose3d(in, w, b, stride);
  };
  at::Tensor y =
      bfloat16_cpu
          ? transposed(x.to(at::kFloat), weight.to(at::kFloat), bias.to(at::kFloat)).to(at::kBFloat16)
          : transposed(x, weight, bias);
  // A 3x3 kernel gives one extra row and column. Keras' 'same' padding drops the last ones.
  for (std::size_t axis = 0; axis < stride.size(); ++axis) {
    const auto dimension = static_cast<std::int64_t>(axis) + 2;
    y = y.narrow(dimension, 0, stride[axis] * x.size(dimension));
  }
  return y;
}

at::Tensor Network::pool(const LayerDescription& layer, const at::Tensor& x) const {
  const Window& window = layer.window;
  const auto kernel = along_axes(window.kernel), stride = along_axes(window.stride),
             padding = along_axes(window.padding), dilation = along_axes(window.dilation);
  return description_.dimensions == 2 ? at::max_pool2d(x, kernel, stride, padding, dilation)
                                      : at::max_pool3d(x, kernel, stride, padding, dilation);
}

/// Computes in the parameters' type, because means and variances sum many values.
at::Tensor Network::normalise(Tensors& tensors, const at::Tensor& x) {
  if (is_training()) tensors.batches.add_(1);
  const at::Tensor wide = x.to(tensors.weight.scalar_type());
  return at::batch_norm(wide, tensors.weight, tensors.bias, tensors.mean, tensors.variance, is_training(),
                        kBatchNormMomentum, kBatchNormEpsilon, at::globalContext().userEnabledCuDNN())
      .to(x.scalar_type());
}

at::Tensor Network::drop(const LayerDescription& layer, const at::Tensor& x) {
  if (!is_training()) return x;
  if (dropout_seeds_.empty()) return at::dropout(x, layer.dropout, true);
  return x * dropout_mask(x.detach(), layer.dropout, dropout_seeds_, ++dropouts_);
}

namespace {

/// A device's generator that only dropout uses. A CUDA graph captures the default generator, and a failed
/// capture leaves that generator unusable. Created once, because LibTorch 1.13 never frees a clone. Never
/// destroyed, because CUDA may shut down first.
at::Generator& dropout_generator(const at::Device& device) {
  static std::mutex mutex;
  static auto& made = *new std::map<std::pair<at::DeviceType, int>, at::Generator>();
  const std::lock_guard lock(mutex);
  at::Generator& generator = made[{device.type(), device.index()}];
  if (!generator.defined()) generator = at::globalContext().defaultGenerator(device).clone();
  return generator;
}

/// The number of incoming nodes of one neuron (N in initialise_he).
double incoming_nodes(const LayerDescription& layer) {
  const auto all =
      static_cast<double>(layer.in_channels) * static_cast<double>(volume_of(layer.window.kernel));
  return layer.kind == Kind::up_convolution ? all / static_cast<double>(volume_of(layer.window.stride)) : all;
}

}  // namespace

at::Tensor dropout_mask(const at::Tensor& x, double dropout, std::span<const std::uint64_t> seeds,
                        std::uint64_t which) {
  at::Generator& generator = dropout_generator(x.device());
  const double kept = 1 - dropout;
  at::Tensor mask = at::empty_like(x);
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    {
      const std::lock_guard lock(generator.mutex());
      generator.set_current_seed(mix_bits(seeds[i] + which));
    }
    mask.select(0, static_cast<std::int64_t>(i)).bernoulli_(kept, generator);
  }
  return mask.div_(kept);
}

void initialise_he(Network& network, std::uint64_t seed) {
  torch::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const NetworkDescription& description = network.description();
  std::map<std::string, TensorDescription> described;
  for (TensorDescription& tensor : tensors_of(description))
    described.emplace(tensor.name, std::move(tensor));
  for (auto& item : network.named_parameters()) {
    at::Tensor& parameter = item.value();
    const TensorDescription& tensor = described.at(item.key());
    if (tensor.role != Role::weight) {
      parameter.fill_(tensor.role == Role::scale ? 1.0 : 0.0);
      continue;
    }
    const double incoming = incoming_nodes(description.layers[static_cast<std::size_t>(tensor.layer)]);
    parameter.copy_(at::normal(0.0, std::sqrt(2.0 / incoming), parameter.sizes(), generator));
  }
}

at::Tensor class_probabilities(const at::Tensor& logits) {
  return logits.size(1) == 1 ? at::sigmoid(logits) : at::softmax(logits, 1);
}

}  // namespace tessera
