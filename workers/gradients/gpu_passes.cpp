#include "workers/gradients/gpu_passes.h"

#include <ATen/Functions.h>

#include "workers/device/torch_types.h"
#include "workers/kernels/gpu_operators.h"
#include "workers/network/network.h"

namespace tessera {

GpuPasses::GpuPasses(FlatParameters& parameters, Precision precision, const KernelLauncher& launch)
    : parameters_(parameters),
      network_(parameters.network().description()),
      own_(launch),
      type_(scalar_type(precision)) {
  for (std::size_t i = 0; i < network_.layers.size(); ++i) {
    const LayerDescription& described = network_.layers[i];
    if (described.name.empty()) continue;
    const auto& bias = parameters_.entry(described.name + ".bias");
    layers_[static_cast<int>(i)] = {described.name,
                                    described.kind == LayerDescription::Kind::up_convolution,
                                    {},
                                    {},
                                    bias.begin + bias.count()};
  }
}

at::Tensor GpuPasses::value(const Layer& layer, const char* part) const {
  return FlatParameters::piece(parameters_.values(), parameters_.entry(layer.name + part));
}

at::Tensor GpuPasses::gradient(const Layer& layer, const char* part) const {
  return FlatParameters::piece(parameters_.sums(), parameters_.entry(layer.name + part));
}

void GpuPasses::read_parameters() {
  for (auto& [number, layer] : layers_) {
    const at::Tensor weight = value(layer, ".weight"), bias = value(layer, ".bias");
    if (layer.is_up) {
      // A 1x1 convolution to four times the channels: (2 dy + dx) * filters + f is channel f of the output
      // pixel (dy, dx).
      keep(layer, weight.permute({2, 3, 1, 0}).reshape({4 * weight.size(1), weight.size(0), 1, 1}),
           bias.repeat({4}));
    } else if (number == layers_.rbegin()->first) {
      keep(layer, gpu::padded_rows(weight), gpu::padded_rows(bias));
    } else {
      keep(layer, weight, bias);
    }
  }
}

/// At the place of the layer's last parameters.
void GpuPasses::keep(Layer& layer, const at::Tensor& weight, const at::Tensor& bias) const {
  if (layer.weight.defined()) {
    layer.weight.copy_(weight);
    layer.bias.copy_(bias);
    return;
  }
  layer.weight = gpu::channels_last(weight, type_);
  layer.bias = at::empty(bias.sizes(), bias.options().dtype(type_)).copy_(bias);
}

std::shared_ptr<const GradientPlan> GpuPasses::plan_for(const at::Tensor& input) {
  if (!plan_ || height_ != input.size(2) || width_ != input.size(3)) {
    height_ = input.size(2);
    width_ = input.size(3);
    plan_ = std::make_shared<const GradientPlan>(plan_gradient(network_, height_, width_, 2));
  }
  return plan_;
}

std::vector<at::Tensor> GpuPasses::dropout_masks(const at::Tensor& input,
                                                 std::span<const std::uint64_t> seeds) {
  const auto plan = plan_for(input);
  std::vector<at::Tensor> masks;
  for (std::size_t i = 0; i < plan->forward.size(); ++i) {
    if (!plan->drop_after[i]) continue;
    const ForwardStep& step = plan->forward[i];
    const at::Tensor dropped =
        at::empty({input.size(0), step.out_channels, step.out_height, step.out_width},
                  input.options().dtype(type_).memory_format(at::MemoryFormat::ChannelsLast));
    masks.push_back(dropout_mask(dropped, plan->dropout, seeds, masks.size() + 1));
  }
  return masks;
}

/// One forward pass.
class GpuPasses::Forward {
 public:
  Forward(const GpuPasses& passes, const GpuKernels& kernels, KeptImages& kept)
      : passes_(passes), kernels_(kernels), kept_(kept) {}

  at::Tensor run(const std::vector<at::Tensor>& masks) {
    const GradientPlan& plan = *kept_.plan;
    auto mask = masks.begin();
    for (std::size_t i = 0; i < plan.forward.size(); ++i) {
      const ForwardStep& step = plan.forward[i];
      take(step);
      if (plan.drop_after[i]) image(step.out).mul_(*mask++);
      for (std::size_t b = 0; b < kept_.images.size(); ++b) {
        if (plan.buffers[b].last_step == static_cast<int>(i)) kept_.images[b] = at::Tensor();
      }
    }
    return logits_.to(at::kFloat);
  }

 private:
  at::Tensor& image(int buffer) {
    return buffer == kOutput ? logits_ : kept_.images[static_cast<std::size_t>(buffer)];
  }

  void take(const ForwardStep& step) {
    const at::Tensor& in = step.in == kInput ? kept_.input : image(step.in);
    at::Tensor& out = image(step.out);
    switch (step.kind) {
      case ForwardStep::Kind::convolution: {
        const Layer& by = passes_.layer_of(step);
        out = gpu::convolve_and_rectify(passes_.own_, kernels_, in, by.weight, by.bias, step.padding);
        return;
      }
      case ForwardStep::Kind::to_classes:
        out = gpu::classify(passes_.own_, kernels_, in, passes_.layer_of(step).weight,
                            passes_.layer_of(step).bias, step.out_channels);
        return;
      case ForwardStep::Kind::pooling: {
        if (kernels_.own && passes_.own_.can_take(in)) {
          out = passes_.own_.pool(in);
          return;
        }
        auto [pooled, places] = at::max_pool2d_with_indices(in, {2, 2}, {2, 2});
        out = pooled;
        kept_.pooled_from[step.out] = places;
        return;
      }
      case ForwardStep::Kind::crop:
        out = gpu::empty_image(in, step.out_channels, step.out_height, step.out_width);
        gpu::copy_image(gpu::middle_of(in, step.out_height, step.out_width),
                        out.narrow(1, 0, step.in_channels));
        return;
      case ForwardStep::Kind::spread:
        out = gpu::product(in, passes_.layer_of(step).weight, passes_.layer_of(step).bias);
        return;
      case ForwardStep::Kind::shuffle:
        gpu::shuffle_into(in, out);
        return;
    }
  }

  const GpuPasses& passes_;
  GpuKernels kernels_;
  KeptImages& kept_;
  at::Tensor logits_;
};

/// One backward pass.
class GpuPasses::Backward {
 public:
  Backward(const GpuPasses& passes, const at::Tensor& logits_gradient, KeptImages& kept,
           const GradientReady& ready)
      : passes_(passes), kept_(kept), ready_(ready) {
    const auto options =
        logits_gradient.options().dtype(passes.type_).memory_format(at::MemoryFormat::ChannelsLast);
    const std::int64_t rows = passes.layers_.rbegin()->second.bias.size(0);
    logits_gradient_ =
        at::zeros({logits_gradient.size(0), rows, logits_gradient.size(2), logits_gradient.size(3)}, options);
    logits_gradient_.narrow(1, 0, logits_gradient.size(1)).copy_(logits_gradient);
  }

  void run() {
    const GradientPlan& plan = *kept_.plan;
    int now = static_cast<int>(plan.forward.size());  // steps are counted through both passes
    for (const BackwardStep& step : plan.backward) {
      take(step);
      for (std::size_t b = 0; b < kept_.images.size(); ++b) {
        if (plan.buffers[b].last_step == now) kept_.images[b] = at::Tensor();
      }
      ++now;
    }
  }

 private:
  at::Tensor& image(int buffer) { return kept_.images[static_cast<std::size_t>(buffer)]; }

  void take(const BackwardStep& step) {
    const ForwardStep& forward = step.forward;
    const at::Tensor& given =
        step.output_gradient == kOutput ? logits_gradient_ : image(step.output_gradient);
    switch (step.kind) {
      case BackwardStep::Kind::to_classes:
        go_through_product(step, passes_.layer_of(forward), given);
        return;
      case BackwardStep::Kind::convolution:
        go_through(step, passes_.layer_of(forward),
                   step.rectify ? rectified(given, image(forward.out), step.dropped) : given);
        return;
      case BackwardStep::Kind::spread:
        go_through_product(step, passes_.layer_of(forward), given);
        return;
      case BackwardStep::Kind::gather:
        image(step.input_gradient) = gpu::gather_from(given, forward.in_channels / 4);
        return;
      case BackwardStep::Kind::join: {
        const at::Tensor& from = image(forward.in);
        if (!kept_.pooled_from.contains(forward.out)) {
          image(step.input_gradient) =
              passes_.own_.join(from, given, image(step.crop_gradient), step.crop_height, step.crop_width,
                                step.dropped ? 1 - kept_.plan->dropout : 1);
          return;
        }
        at::Tensor gradient = at::max_pool2d_with_indices_backward(
            given, from, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false, kept_.pooled_from.at(forward.out));
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
    return dropped ? through.div_(1 - kept_.plan->dropout) : through;
  }

  const at::Tensor& input_of(const BackwardStep& step) {
    return step.forward.in == kInput ? kept_.input : image(step.forward.in);
  }

  /// The gradients of a convolution: by its parameters onto the sums, by its input where somebody asks for
  /// it.
  void go_through(const BackwardStep& step, const Layer& layer, const at::Tensor& given) {
    const at::Tensor& in = input_of(step);
    at::Tensor weight = passes_.gradient(layer, ".weight"), bias = passes_.gradient(layer, ".bias");
    if (step.input_gradient == kInput && in.size(1) <= kFewChannels) {
      // Convolutions of so few channels are slow on a GPU.
      const at::Tensor by_taps =
          gpu::product_gradient_by_weight(given, gpu::taps_of(in, step.forward.padding));
      weight.add_(by_taps.narrow(1, 0, 9 * in.size(1)).reshape(weight.sizes()));
      bias.add_(by_taps.select(1, 9 * in.size(1)));
    } else {
      const bool onwards = step.input_gradient != kInput;
      auto [by_input, by_weight, by_bias] = at::convolution_backward(
          given, in, layer.weight, at::OptionalIntArrayRef(), {1, 1},
          {step.forward.padding, step.forward.padding}, {1, 1}, false, {0, 0}, 1, {onwards, true, false});
      if (onwards) image(step.input_gradient) = by_input;
      weight.add_(by_weight);
      bias.add_(gpu::sum_over_pixels(given));
    }
    if (ready_) ready_(layer.gradients_final);
  }

  /// The same of what the forward pass computed as a product.
  void go_through_product(const BackwardStep& step, const Layer& layer, const at::Tensor& given) {
    image(step.input_gradient) = gpu::product_gradient_by_x(given, layer.weight);
    const at::Tensor by_weight = gpu::product_gradient_by_weight(given, input_of(step)),
                     by_bias = gpu::sum_over_pixels(given).to(at::kFloat);
    at::Tensor weight = passes_.gradient(layer, ".weight"), bias = passes_.gradient(layer, ".bias");
    if (step.kind == BackwardStep::Kind::spread) {
      weight.add_(by_weight.reshape({2, 2, weight.size(1), weight.size(0)}).permute({3, 2, 0, 1}));
      bias.add_(by_bias.reshape({4, bias.size(0)}).sum(0));
    } else {
      weight.add_(by_weight.narrow(0, 0, weight.size(0)).reshape(weight.sizes()));
      bias.add_(by_bias.narrow(0, 0, bias.size(0)));
    }
    if (ready_) ready_(layer.gradients_final);
  }

  static constexpr std::int64_t kFewChannels = 7;
  const GpuPasses& passes_;
  at::Tensor logits_gradient_;
  KeptImages& kept_;
  const GradientReady& ready_;
};

at::Tensor GpuPasses::forward(const at::Tensor& input, const std::vector<at::Tensor>& masks,
                              const GpuKernels& kernels, KeptImages& kept) {
  kept.plan = plan_for(input);
  kept.input = gpu::channels_last(input, type_);
  kept.images.assign(kept.plan->buffers.size(), {});
  kept.pooled_from.clear();
  return Forward(*this, kernels, kept).run(masks);
}

void GpuPasses::backward(const at::Tensor& logits_gradient, KeptImages& kept,
                         const GradientReady& ready) const {
  Backward(*this, logits_gradient, kept, ready).run();
  kept = {};
}

}  // namespace tessera
