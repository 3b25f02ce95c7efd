#include "workers/gradients/onednn_engine.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <type_traits>

#include "io/base/error.h"
#include "workers/device/out_of_memory.h"
#include "workers/network/network.h"

namespace tessera {
namespace {

using onednn::Pointers;

std::byte* bytes_of(const at::Tensor& tensor) {
  return static_cast<std::byte*>(tensor.data_ptr());
}

template <class Pass>
std::invoke_result_t<Pass> checked(const at::Tensor& input, const char* where, const Pass& pass) {
  return named_out_of_memory(input, [&] { return onednn::checked(where, pass); });
}

}  // namespace

OneDnnEngine::OneDnnEngine(FlatParameters& parameters, Precision precision)
    : network_(parameters.network().description()),
      precision_(precision),
      weights_(parameters, engine_, stream_) {
  const std::int64_t side = geometry_of(network_).input_side_for(1);
  try {
    build(side, side);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw UsageError(fmt::format("this processor cannot train in {} ({}): set train.precision: float32",
                                 name_of(precision_), error.what()));
  }
}

std::string OneDnnEngine::text() const {
  const dnnl_version_t* version = dnnl::version();
  return fmt::format("oneDNN {}.{}, {}", version->major, version->minor, name_of(precision_));
}

at::Tensor OneDnnEngine::forward(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds) {
  return checked(input, "in the forward pass of a training sample", [&] {
    const at::NoGradGuard no_grad;
    input_ = input.to(torch_type()).contiguous(at::MemoryFormat::ChannelsLast);
    build(input_.size(2), input_.size(3));
    generator_ = at::make_generator<at::CPUGeneratorImpl>(dropout_seeds.front());
    const ForwardStep& last = plan_.forward.back();
    at::Tensor logits =
        at::empty({1, network_.classes(), last.out_height, last.out_width},
                  at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
    forward_->run({arena_.require(arena_bytes_), bytes_of(input_), bytes_of(logits), nullptr},
                  between_layers_);
    return logits;
  });
}

void OneDnnEngine::backward(const at::Tensor& logits_gradient, const GradientReady& ready) {
  checked(input_, "in the backward pass of a training sample", [&] {
    const at::NoGradGuard no_grad;
    const at::Tensor gradient = logits_gradient.to(torch_type()).contiguous(at::MemoryFormat::ChannelsLast);
    ready_ = &ready;  // read by this pass alone
    backward_->run({arena_.require(arena_bytes_), bytes_of(input_), nullptr, bytes_of(gradient)},
                   between_layers_);
    ready_ = nullptr;
  });
}

/// Builds the passes for an input of this size, unless they are built already, and packs the weights.
void OneDnnEngine::build(std::int64_t height, std::int64_t width) {
  if (height == height_ && width == width_) return weights_.pack();
  height_ = width_ = 0;  // until all is built: memory may run out
  plan_ = plan_gradient(network_, height, width, value_bytes());
  forward_ = std::make_unique<onednn::Steps>(engine_, stream_, plan_.bytes);
  backward_ = std::make_unique<onednn::Steps>(engine_, stream_, plan_.bytes);
  weights_.reset_biases();
  largest_gradient_ = 0;
  for (std::size_t i = 0; i < plan_.forward.size(); ++i) {
    if (between_layers_) between_layers_();  // primitives are compiled
    add_forward(plan_.forward[i]);
    if (plan_.drop_after[i]) add_dropout(plan_.forward[i]);
  }
  for (const BackwardStep& step : plan_.backward) {
    if (between_layers_) between_layers_();
    add_backward(step);
  }
  weight_gradient_ = at::empty({largest_gradient_}, at::kFloat);
  arena_bytes_ = std::max(forward_->arena_bytes(), backward_->arena_bytes());
  weights_.changed();
  weights_.pack();
  height_ = height;
  width_ = width;
}

onednn::Where OneDnnEngine::place(int buffer) const {
  if (buffer == kInput) return {&Pointers::input, 0};
  if (buffer == kOutput) return {&Pointers::output, 0};
  return {&Pointers::arena, plan_.buffers[static_cast<std::size_t>(buffer)].offset};
}

onednn::Where OneDnnEngine::gradient_place(int buffer) const {
  return buffer == kOutput ? Where{&Pointers::output_gradient, 0} : place(buffer);
}

onednn::ConvolutionShape OneDnnEngine::shape_of(const ForwardStep& step) const {
  const std::int64_t side = step.kind == ForwardStep::Kind::convolution ? 3 : 1, pad = step.padding;
  return {{1, step.in_channels, step.in_height, step.in_width},
          {step.out_channels, step.in_channels, side, side},
          {1, step.out_channels, step.out_height, step.out_width},
          {pad, pad},
          {pad, pad}};
}

std::unique_ptr<GradientEngine> make_onednn_engine(FlatParameters& parameters, Precision precision) {
  return std::make_unique<OneDnnEngine>(parameters, precision);
}

}  // namespace tessera
