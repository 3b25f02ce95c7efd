#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "workers/network/forward_plan.h"
#include "workers/network/gpu_kernels.h"
#include "workers/network/gpu_operators.h"
#include "workers/network/out_of_memory.h"
#include "workers/network/torch_types.h"
#include "workers/network/unet.h"
#include "workers/train/gradient_engine.h"

namespace tessera {
namespace {

/// A layer's parameters as the kernels want them, made anew whenever they have changed.
struct Layer {
  std::string name;
  at::Tensor weight, bias;           ///< (out, in, k, k) of the plain convolution, (out); in the engine's type
  std::int64_t gradients_final = 0;  ///< values of the flat gradient that are final once this layer is done
};

class GpuEngine : public GradientEngine {
 public:
  GpuEngine(FlatParameters& parameters, Precision precision)
      : parameters_(parameters),
        options_(parameters.network().options()),
        type_(scalar_type(precision)) {
    const int convs = (2 * options_.depth + 1) * options_.block_convs;
    for (int i = 0; i < convs; ++i)
      convs_.push_back(layer_of(fmt::format("convs.{}", i)));
    for (int i = 0; i < options_.depth; ++i)
      ups_.push_back(layer_of(fmt::format("ups.{}", i)));
    to_classes_ = layer_of("to_classes");
  }

  using GradientEngine::forward;
  std::string text() const override {
    return fmt::format("LibTorch's kernels arranged for a GPU, {}{}", type_ == at::kFloat ? "float32" : "bfloat16",
                       fused_.value_or(false) ? ", fused" : "");
  }

  at::Tensor forward(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds) override {
    const at::NoGradGuard no_grad;
    return named_out_of_memory(input, [&] {
      read_parameters();
      if (!fused_) fused_ = is_faster_fused(input);
      return pass(input, dropout_seeds, *fused_).to(at::kFloat);
    });
  }

  void backward(const at::Tensor& logits_gradient, const GradientReady& ready) override {
    const at::NoGradGuard no_grad;
    named_out_of_memory(input_, [&] {
      logits_gradient_ = gpu::channels_last(logits_gradient, type_);
      int now = static_cast<int>(plan_.forward.size());
      for (const BackwardStep& step : plan_.backward) {
        go_back(step, ready);
        forget(now++);
      }
      logits_gradient_ = input_ = at::Tensor();
      pooled_from_.clear();
      return 0;
    });
  }

  void parameters_changed() override { read_ = false; }

 private:
  Layer layer_of(const std::string& name) const {
    const auto& bias = parameters_.entry(name + ".bias");
    return {name, {}, {}, bias.begin + bias.count()};
  }
  at::Tensor value(const Layer& layer, const char* part) const {
    return FlatParameters::piece(parameters_.values(), parameters_.entry(layer.name + part));
  }

  void read_parameters() {
    if (read_) return;
    for (Layer& layer : convs_)
      read(layer, value(layer, ".weight"));
    read(to_classes_, value(to_classes_, ".weight"));
    for (Layer& layer : ups_) {
      // A 1x1 convolution to four times the channels: (2 dy + dx) * filters + f is channel f of the output pixel (dy, dx).
      const at::Tensor weight = value(layer, ".weight");
      read(layer, weight.permute({2, 3, 1, 0}).reshape({4 * weight.size(1), weight.size(0), 1, 1}));
      layer.bias = layer.bias.repeat({4});
    }
    read_ = true;
  }
  void read(Layer& layer, const at::Tensor& weight) const {
    layer.weight = gpu::channels_last(weight, type_);
    layer.bias = value(layer, ".bias").to(type_);
  }

  /// By measuring, on CUDA; never where results are to be the same every time.
  bool is_faster_fused(const at::Tensor& input) {
    if (!input.is_cuda() || at::globalContext().deterministicCuDNN()) return false;
    const std::vector<std::uint64_t> seeds(static_cast<std::size_t>(input.size(0)), 1);
    constexpr std::array kWays = {GpuKernels{}, GpuKernels{.fused = true}};
    const auto run = [&](const GpuKernels& kernels) { pass(input, seeds, kernels.fused); };
    return fastest_kernels(kWays, run, cuda_timer(input.device().index())).fused;
  }

  at::Tensor& image(int buffer) { return buffer == kOutput ? logits_ : images_[static_cast<std::size_t>(buffer)]; }
  const at::Tensor& source(int buffer) { return buffer == kInput ? input_ : image(buffer); }
  /// Gives back what step `now`, counted through both passes, was the last to read.
  void forget(int now) {
    for (std::size_t b = 0; b < images_.size(); ++b) {
      if (plan_.buffers[b].last_step == now) images_[b] = at::Tensor();
    }
  }

  /// The logits, in the engine's type; what the backward pass reads is kept.
  at::Tensor pass(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds, bool fused) {
    input_ = gpu::channels_last(input, type_);
    if (height_ != input.size(2) || width_ != input.size(3)) {
      height_ = input.size(2);
      width_ = input.size(3);
      plan_ = plan_gradient(options_, height_, width_, 2);
    }
    images_.assign(plan_.buffers.size(), {});
    pooled_from_.clear();
    std::uint64_t dropouts = 0;
    for (std::size_t i = 0; i < plan_.forward.size(); ++i) {
      const ForwardStep& step = plan_.forward[i];
      take(step, fused);
      if (plan_.drop_after[i])
        image(step.out).mul_(dropout_mask(image(step.out), options_.dropout, dropout_seeds, ++dropouts));
      forget(static_cast<int>(i));
    }
    return std::move(logits_);
  }

  void take(const ForwardStep& step, bool fused) {
    const at::Tensor& in = source(step.in);
    at::Tensor& out = image(step.out);
    const auto layer = static_cast<std::size_t>(step.layer);
    switch (step.kind) {
      case ForwardStep::Kind::convolution:
        out = gpu::convolve_and_rectify(in, convs_[layer].weight, convs_[layer].bias, padding(), fused);
        return;
      case ForwardStep::Kind::to_classes:
        out = at::conv2d(in, to_classes_.weight, to_classes_.bias);
        return;
      case ForwardStep::Kind::pooling: {
        auto [pooled, places] = at::max_pool2d_with_indices(in, {2, 2}, {2, 2});
        out = pooled;
        pooled_from_[step.out] = places;
        return;
      }
      case ForwardStep::Kind::crop:
        out = gpu::empty_image(in, step.out_channels, step.out_height, step.out_width);
        out.narrow(1, 0, step.in_channels).copy_(gpu::middle_of(in, step.out_height, step.out_width));
        return;
      case ForwardStep::Kind::spread:
        out = at::conv2d(in, ups_[layer].weight, ups_[layer].bias);
        return;
      case ForwardStep::Kind::shuffle:
        gpu::shuffle_into(in, out);
        return;
    }
  }

  void go_back(const BackwardStep& step, const GradientReady& ready) {
    const ForwardStep& forward = step.forward;
    const at::Tensor& given = step.output_gradient == kOutput ? logits_gradient_ : image(step.output_gradient);
    const auto layer = static_cast<std::size_t>(forward.layer);
    switch (step.kind) {
      case BackwardStep::Kind::to_classes:
        go_through(step, to_classes_, given, 0, ready);
        return;
      case BackwardStep::Kind::convolution:
        go_through(step, convs_[layer], step.rectify ? rectified(given, image(forward.out), step.dropped) : given, padding(),
                   ready);
        return;
      case BackwardStep::Kind::spread:
        go_through(step, ups_[layer], given, 0, ready);
        return;
      case BackwardStep::Kind::gather:
        image(step.input_gradient) = gpu::gather_from(given, forward.in_channels / 4);
        return;
      case BackwardStep::Kind::join: {
        const at::Tensor& from = image(forward.in);
        at::Tensor gradient = at::max_pool2d_with_indices_backward(given, from, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false,
                                                                   pooled_from_.at(forward.out));
        gpu::middle_of(gradient, step.crop_height, step.crop_width)
            .add_(image(step.crop_gradient).narrow(1, 0, forward.in_channels));
        image(step.input_gradient) = rectified(gradient, from, step.dropped);
        return;
      }
    }
  }

  /// Where ReLU, and dropout behind it, let something through.
  at::Tensor rectified(const at::Tensor& gradient, const at::Tensor& image, bool dropped) const {
    at::Tensor through = at::threshold_backward(gradient, image, 0);
    return dropped ? through.div_(1 - options_.dropout) : through;
  }

  /// The gradients of a convolution: by its parameters onto the sums, by its input where somebody asks for it.
  void go_through(const BackwardStep& step, const Layer& layer, const at::Tensor& given, std::int64_t padding,
                  const GradientReady& ready) {
    const bool onwards = step.input_gradient != kInput;
    auto [by_input, by_weight, by_bias] =
        at::convolution_backward(given, source(step.forward.in), layer.weight, at::IntArrayRef{layer.bias.size(0)}, {1, 1},
                                 {padding, padding}, {1, 1}, false, {0, 0}, 1, {onwards, true, true});
    if (onwards) image(step.input_gradient) = by_input;
    at::Tensor weight = gradient(layer, ".weight"), bias = gradient(layer, ".bias");
    if (step.kind == BackwardStep::Kind::spread) {
      by_weight = by_weight.reshape({2, 2, weight.size(1), weight.size(0)}).permute({3, 2, 0, 1});
      by_bias = by_bias.to(at::kFloat).reshape({4, bias.size(0)}).sum(0);
    }
    weight.add_(by_weight);
    bias.add_(by_bias);
    if (ready) ready(layer.gradients_final);
  }
  at::Tensor gradient(const Layer& layer, const char* part) const {
    return FlatParameters::piece(parameters_.sums(), parameters_.entry(layer.name + part));
  }

  std::int64_t padding() const { return options_.padding == Padding::same ? 1 : 0; }

  FlatParameters& parameters_;
  UNetOptions options_;
  at::ScalarType type_;
  std::vector<Layer> convs_, ups_;
  Layer to_classes_;
  bool read_ = false;
  std::optional<bool> fused_;
  std::int64_t height_ = 0, width_ = 0;
  GradientPlan plan_;
  at::Tensor input_, logits_, logits_gradient_;
  std::vector<at::Tensor> images_;         ///< by buffer: images, and in the backward pass their gradients
  std::map<int, at::Tensor> pooled_from_;  ///< by the buffer of the pooled image
};

}  // namespace

std::unique_ptr<GradientEngine> make_gpu_engine(FlatParameters& parameters, Precision precision) {
  return std::make_unique<GpuEngine>(parameters, precision);
}

}  // namespace tessera
