#include "workers/network/gpu_network.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "io/base/error.h"
#include "io/base/log.h"
#include "workers/device/out_of_memory.h"
#include "workers/device/torch_types.h"
#include "workers/kernels/custom_kernels.h"
#include "workers/kernels/fixed_order_convolution.h"
#include "workers/kernels/gpu_operators.h"
#include "workers/network/forward_plan.h"
#include "workers/network/kernel_choice.h"
#include "workers/network/network.h"
#include "workers/network/network_weights.h"
#include "workers/network/recorded_passes.h"

namespace tessera {
namespace {

using Layer = FoldedWeights::Layer;

class GpuNetwork : public TileNetwork {
 public:
  GpuNetwork(const Network& network, Precision precision, const Device& device,
             const GpuNetworkOptions& options)
      : network_(network.description()),
        geometry_(geometry_of(network_)),
        precision_(precision),
        device_(device),
        options_(options),
        kernels_(options.kernels),
        custom_(options.launch),
        fixed_order_(options.launch, options.hopper),
        weights_(fold_weights(network)),
        recorded_(options.record, device.text()) {
    require_finite_weights();
    Layer& to_classes = weights_.layers.back();
    to_classes = {gpu::padded_rows(to_classes.weight), gpu::padded_rows(to_classes.bias)};
    for (Layer& layer : weights_.layers) {
      if (layer.weight.defined()) to_device(layer);
    }
    if (options_.exact_tiles == ExactTiles::yes) require_ordered();
  }

  std::string text() const override {
    // Hopper kernels use another reduction order, so workers with and without them differ in rounding.
    const bool hopper = options_.hopper && kernels_ && !kernels_->ordered.empty();
    return fmt::format("LibTorch, {}, {}{}{}", name_of(precision_),
                       kernels_ ? kernels_->text() : "kernels not chosen yet", hopper ? " (Hopper's)" : "",
                       invariance_.shape         ? ", translation- and shape-invariant"
                       : invariance_.translation ? ", translation-invariant"
                                                 : "");
  }

  Invariance invariance() const override { return invariance_; }

  at::Tensor logits(const at::Tensor& input) override {
    const c10::InferenceMode inference;
    try {
      return named_out_of_memory(input, [&] {
        if (!kernels_) choose(input);
        const GpuKernels kernels = kernels_for(input);
        const bool small = input.size(2) * input.size(3) <= options_.recorded_pixels;
        if (!small) return run(input, kernels);
        return recorded_.run(input, [&](const at::Tensor& x) { return run(x, kernels); });
      });
    } catch (const OutOfMemory&) {
      // The caller retries with smaller tiles, which need a new choice of kernels.
      if (chosen_for_) {
        kernels_.reset();
        invariance_ = {};
      }
      chosen_for_.reset();
      throw;
    }
  }

 private:
  at::ScalarType type() const { return scalar_type(precision_); }

  /// Throws if a weight is not finite, because cuDNN's fused ReLU would hide a NaN.
  void require_finite_weights() const {
    const auto is_finite = [](const Layer& layer) {
      return !layer.weight.defined() ||
             (layer.weight.isfinite().all().item<bool>() && layer.bias.isfinite().all().item<bool>());
    };
    if (std::ranges::all_of(weights_.layers, is_finite)) return;
    throw Error("the network's weights are not finite. Use another checkpoint");
  }

  void to_device(Layer& layer) const {
    layer.weight = gpu::channels_last(layer.weight.to(torch_device(device_)), type());
    layer.bias = layer.bias.to(torch_device(device_), type());
  }

  /// The convolutions with ReLU, in the order of the forward pass.
  std::vector<const Layer*> convolutions() const {
    std::vector<const Layer*> all;
    for (const ForwardStep& step : smallest_plan().steps) {
      if (step.kind == ForwardStep::Kind::convolution) all.push_back(&weights_.of(step.layer));
    }
    return all;
  }
  /// The convolution with the fewest filters.
  const Layer& narrowest() const { return *convolutions().back(); }

  bool can_order() const {
    const Layer& params = narrowest();
    return fixed_order_.can_take(at::empty({1, params.weight.size(1), 1, 1}, params.weight.options()),
                                 params.weight, params.bias);
  }

  /// Throws before the first tile if exact tiles are not possible, so that no tile is blamed.
  void require_ordered() const {
    const auto failure = [&](const std::string& why) {
      return Error(fmt::format(
          "infer.exact_tiles: {} cannot use a fixed reduction order in all layers: {}; set it to false",
          device_.text(), why));
    };
    const c10::InferenceMode inference;
    const Layer& params = narrowest();
    if (!options_.launch) throw failure("this build has no custom CUDA kernels");
    if (!can_order()) {
      throw failure(fmt::format(
          "that needs float32, or bfloat16 or float16 with filters in multiples of 8, not {} with {} "
          "(or set infer.precision: float32)",
          name_of(precision_), params.weight.size(0)));
    }
    const std::vector<const Layer*> all = convolutions();
    const Layer& widest =
        **std::ranges::max_element(all, {}, [](const Layer* layer) { return layer->weight.size(1); });
    try {
      for (const Layer* one : {&params, &widest})
        fixed_order_.convolve(at::zeros({1, one->weight.size(1), 4, 4}, one->weight.options()), one->weight,
                              one->bias, 1, 1, true);
    } catch (const c10::Error& error) {
      if (!says_out_of_memory(error)) throw failure(error.what_without_backtrace());
    }
  }

  void choose(const at::Tensor& input) {
    if (!device_.cuda && options_.exact_tiles != ExactTiles::yes) {
      kernels_ = GpuKernels{};
      return;
    }
    // For reproducible results measured times must not decide.
    const bool heuristic = !device_.cuda || at::globalContext().deterministicCuDNN();
    KernelTrial trial{
        .geometry = geometry_,
        .type = type(),
        .input = input,
        .device = device_,
        .plan = plan_forward(network_, input.size(2), input.size(3), 2),
        .run = [this](const at::Tensor& x, const GpuKernels& kernels) { return run(x, kernels); },
        .run_step = [this](std::size_t step, const at::Tensor& x,
                           const GpuKernels& kernels) { return run_step(step, x, kernels); },
        .variants = variants(),
        .ordered_sides =
            [this](std::size_t step) {
              return fixed_order_.sides_of_kernels(weights_of(step), lost_pixels(step));
            },
        .can_order = can_order()};
    if (!heuristic) trial.time = cuda_timer(device_.index);
    chosen_for_ = {input.size(2), input.size(3)};
    const KernelChoice choice = choice_for(trial);
    kernels_ = choice.kernels;
    invariance_ = {choice.translation_invariant, choice.shape_invariant};
    spdlog::info(
        "{}: {}: chosen for an input of {} x {} pixels{}", device_.text(), text(), input.size(2),
        input.size(3),
        choice.depends_on_position
            ? "; a pixel depends on its position in the tile by rounding, because of cuDNN's reduction order"
            : "");
  }

  KernelChoice choice_for(const KernelTrial& trial) const {
    try {
      return choose_kernels(trial, options_.exact_tiles);
    } catch (const c10::Error& error) {
      // All tiles would fail like the first one.
      const std::string what = error.what_without_backtrace();
      const bool broken =
          says_device_failed(what) && trial.can_order && options_.exact_tiles != ExactTiles::no;
      if (says_out_of_memory(error) || says_no_engine(error) ||
          (options_.exact_tiles != ExactTiles::yes && !broken))
        throw;
      throw WholeJobError(
          fmt::format("{}: {} (infer.exact_tiles: false needs no custom CUDA kernels for convolutions)",
                      device_.text(), what.substr(0, what.find('\n'))));
    }
  }

  /// The kernels for an input. cuDNN compiles its fused kernels for each input size, which takes seconds. So
  /// only inputs of the size of the first one use them, also when rotated.
  GpuKernels kernels_for(const at::Tensor& input) const {
    GpuKernels kernels = *kernels_;
    const std::pair size(input.size(2), input.size(3));
    if (chosen_for_ && size != *chosen_for_ && size != std::pair(chosen_for_->second, chosen_for_->first))
      kernels.fused = false;
    return kernels;
  }

  /// The variants that the device may support. The variant that is usually the fastest comes first.
  std::vector<GpuKernels> variants() const {
    std::vector<GpuKernels> variants = {{.maxima = true}, {}};
    if (!device_.cuda) return variants;
    // cuDNN's fused ReLU turns NaN into 0, which would hide an overflow in float16.
    if (precision_ != Precision::float16)
      variants.insert(variants.begin(), {{.fused = true, .maxima = true}, {.fused = true}});
    if (options_.launch && precision_ == Precision::bfloat16)
      variants.insert(variants.begin(), {{.fused = true, .own = true}, {.own = true}});
    return variants;
  }

  at::Tensor run(const at::Tensor& input, const GpuKernels& kernels) const {
    const ForwardPlan plan = plan_forward(network_, input.size(2), input.size(3), 2);
    std::vector<at::Tensor> images(plan.buffers.size());
    at::Tensor out, x = gpu::channels_last(input, type());
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const ForwardStep& step = plan.steps[i];
      const at::Tensor& in = step.in == kInput ? x : images[static_cast<std::size_t>(step.in)];
      at::Tensor& to = step.out == kOutput ? out : images[static_cast<std::size_t>(step.out)];
      execute(i, step, kernels, in, to);
      if (step.in == kInput) x = at::Tensor();
      for (std::size_t b = 0; b < images.size(); ++b) {
        if (plan.buffers[b].last_step == static_cast<int>(i)) images[b] = at::Tensor();
      }
    }
    return out.to(at::kFloat, /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::Contiguous);
  }

  /// The plan for the smallest input. Plans for all sizes have the same steps.
  ForwardPlan smallest_plan() const {
    return plan_forward(network_, geometry_.smallest_input, geometry_.smallest_input, 2);
  }
  ForwardStep step_of(std::size_t number) const { return smallest_plan().steps.at(number); }

  /// Runs one step that has weights.
  at::Tensor run_step(std::size_t number, const at::Tensor& in, const GpuKernels& kernels) const {
    at::Tensor out;
    execute(number, step_of(number), kernels, in, out);
    return out;
  }
  const at::Tensor& weights_of(std::size_t number) const { return weights_.of(step_of(number).layer).weight; }

  /// Difference between the sides of a step's input and output, in pixels.
  std::int64_t lost_pixels(std::size_t number) const {
    const ForwardStep step = step_of(number);
    return step.kind == ForwardStep::Kind::convolution ? 2 - 2 * step.padding : 0;
  }

  void execute(std::size_t number, const ForwardStep& step, const GpuKernels& kernels, const at::Tensor& in,
               at::Tensor& out) const {
    const bool ordered = kernels.ordered.contains(number);
    switch (step.kind) {
      case ForwardStep::Kind::convolution: {
        const Layer& params = weights_.of(step.layer);
        if (ordered && !(kernels.own && custom_.can_convolve(in, params.weight, params.bias)))
          out = fixed_order_.convolve(in, params.weight, params.bias, step.padding, step.padding, true);
        else
          out = gpu::convolve_and_rectify(custom_, kernels, in, params.weight, params.bias, step.padding);
        return;
      }
      case ForwardStep::Kind::to_classes: {
        const Layer& params = weights_.of(step.layer);
        const std::int64_t classes = step.out_channels;
        const bool custom = kernels.own && custom_.can_classify(in, params.weight.narrow(0, 0, classes),
                                                                params.bias.narrow(0, 0, classes));
        out = ordered && !custom
                  ? fixed_order_.convolve(in, params.weight, params.bias, 0, 0, false).narrow(1, 0, classes)
                  : gpu::classify(custom_, kernels, in, params.weight, params.bias, classes);
        return;
      }
      case ForwardStep::Kind::pooling:
        if (kernels.own && custom_.can_take(in))
          out = custom_.pool(in);
        else
          out = kernels.maxima ? gpu::pool_by_maxima(in) : at::max_pool2d(in, 2);
        return;
      case ForwardStep::Kind::crop:
        out = gpu::empty_image(in, step.out_channels, step.out_height, step.out_width);
        gpu::copy_image(gpu::middle_of(in, step.out_height, step.out_width),
                        out.narrow(1, 0, step.in_channels));
        return;
      case ForwardStep::Kind::spread: {
        const Layer& up = weights_.of(step.layer);
        const bool reads_previous =
            up.weight.size(2) == 2;  // 2x2 taps, from a 3x3 kernel, read the previous pixel
        if (ordered)
          out = fixed_order_.convolve(in, up.weight, up.bias, reads_previous ? 1 : 0, 0, false);
        else
          out = reads_previous ? at::conv2d(at::constant_pad_nd(in, {1, 0, 1, 0}), up.weight, up.bias)
                               : gpu::product(in, up.weight, up.bias);
        return;
      }
      case ForwardStep::Kind::shuffle:
        gpu::shuffle_into(in, out);
        return;
    }
  }

  NetworkDescription network_;
  NetworkGeometry geometry_;
  Precision precision_;
  Device device_;
  GpuNetworkOptions options_;
  std::optional<GpuKernels> kernels_;
  std::optional<std::pair<std::int64_t, std::int64_t>>
      chosen_for_;         ///< height and width of the input of the choice
  Invariance invariance_;  ///< of the chosen kernels, as tested
  gpu::CustomKernels custom_;
  gpu::FixedOrderConvolution fixed_order_;
  FoldedWeights weights_;
  RecordedPasses recorded_;
};

}  // namespace

bool gpu_supports(const NetworkDescription& network) {
  return can_plan_forward(network);
}

std::unique_ptr<TileNetwork> make_gpu_network(const Network& network, Precision precision,
                                              const Device& device, const GpuNetworkOptions& options) {
  return std::make_unique<GpuNetwork>(network, precision, device, options);
}

}  // namespace tessera
