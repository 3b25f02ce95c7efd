#include "workers/network/gpu_network.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "io/error.h"
#include "io/log.h"
#include "workers/network/forward_plan.h"
#include "workers/network/gpu_operators.h"
#include "workers/network/network_weights.h"
#include "workers/network/out_of_memory.h"
#include "workers/network/own_kernels.h"
#include "workers/network/place_check.h"
#include "workers/network/torch_types.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using Layer = FoldedWeights::Layer;

class GpuNetwork : public TileNetwork {
 public:
  GpuNetwork(const UNetImpl& network, Precision precision, const Device& device, const GpuNetworkOptions& options)
      : unet_(network.options()),
        precision_(precision),
        device_(device),
        options_(options),
        kernels_(options.kernels),
        own_(options.launch),
        weights_(fold_weights(network)) {
    require_finite_weights();
    for (Layer& layer : weights_.convolutions)
      to_device(layer);
    for (Layer& layer : weights_.spreads)
      to_device(layer);
    weights_.to_classes = {gpu::padded_rows(weights_.to_classes.weight), gpu::padded_rows(weights_.to_classes.bias)};
    to_device(weights_.to_classes);
  }

  std::string text() const override {
    return fmt::format("LibTorch, {}, {}, {}{}", name_of(precision_), device_.text(),
                       kernels_ ? kernels_->text() : "kernels not chosen yet", independent_of_place_ ? kIndependentOfPlace : "");
  }

  at::Tensor logits(const at::Tensor& input) override {
    const c10::InferenceMode inference;
    try {
      return named_out_of_memory(input, [&] {
        if (!kernels_) choose_kernels(input);
        const GpuKernels kernels = kernels_for(input);
        const bool small = input.size(2) * input.size(3) <= options_.recorded_pixels;
        return options_.record && small ? replayed(input, kernels) : run(input, kernels);
      });
    } catch (const OutOfMemory&) {
      // Tiles will be smaller: their kernels are chosen anew.
      if (chosen_for_) kernels_.reset();
      chosen_for_.reset();
      throw;
    }
  }

 private:
  at::ScalarType type() const { return scalar_type(precision_); }

  /// cuDNN's fused ReLU would hide a NaN among them.
  void require_finite_weights() const {
    const auto is_finite = [](const Layer& layer) {
      return layer.weight.isfinite().all().item<bool>() && layer.bias.isfinite().all().item<bool>();
    };
    if (std::ranges::all_of(weights_.convolutions, is_finite) && std::ranges::all_of(weights_.spreads, is_finite) &&
        is_finite(weights_.to_classes))
      return;
    throw Error("the network's weights are not finite: take another checkpoint");
  }

  void to_device(Layer& layer) const {
    layer.weight = gpu::channels_last(layer.weight.to(torch_device(device_)), type());
    layer.bias = layer.bias.to(torch_device(device_), type());
  }

  void choose_kernels(const at::Tensor& input) {
    if (!device_.cuda) {
      kernels_ = GpuKernels{};
      return;
    }
    const std::vector<GpuKernels> ways = ways_for(input);
    // Where results are to be the same every time the clock must not decide: those come first that are mostly the fastest.
    chosen_for_ = {input.size(2), input.size(3)};
    kernels_ = at::globalContext().deterministicCuDNN()
                   ? ways.front()
                   : fastest_kernels(ways, [&](const GpuKernels& kernels) { run(input, kernels); }, cuda_timer(device_.index));
    spdlog::info("{}: for {} x {} pixels{}", text(), input.size(2), input.size(3),
                 depends_on_place_ ? ", where cuDNN sums by place: a pixel is the same but for rounding wherever it is in a tile" : "");
  }

  /// cuDNN compiles its fused kernels for each size, which takes seconds: those of all tiles, turned ones too, have the time.
  GpuKernels kernels_for(const at::Tensor& input) const {
    GpuKernels kernels = *kernels_;
    const std::pair size(input.size(2), input.size(3));
    if (chosen_for_ && size != *chosen_for_ && size != std::pair(chosen_for_->second, chosen_for_->first)) kernels.fused = false;
    return kernels;
  }

  /// Those that are possible for an input. Where some say the same of a pixel wherever it is, these alone: no seam then, be it of
  /// rounding, between tiles.
  std::vector<GpuKernels> ways_for(const at::Tensor& input) {
    std::vector<GpuKernels> ways = {{.maxima = true}, {}}, possible, independent;
    // cuDNN's fused ReLU makes 0 of a NaN: what overflows in float16 would go unnoticed.
    if (precision_ != Precision::float16) ways.insert(ways.begin(), {{.fused = true, .maxima = true}, {.fused = true}});
    if (options_.launch && precision_ == Precision::bfloat16) ways.insert(ways.begin(), {{.fused = true, .own = true}, {.own = true}});
    const bool by_rule = at::globalContext().deterministicCuDNN();
    independent_of_place_ = depends_on_place_ = false;
    std::exception_ptr failure;
    for (const GpuKernels& way : ways) {
      try {
        const auto alike = is_independent_of_place(geometry_of(unet_), input, [&](const at::Tensor& x) { return run(x, way); });
        possible.push_back(way);
        depends_on_place_ = depends_on_place_ || alike == false;
        if (alike == true) independent.push_back(way);
        if (by_rule && alike != false) break;  // the first is taken
      } catch (const c10::Error& error) {
        // By rule all workers take the same: what is short of memory on one of them must not decide.
        if (by_rule && says_out_of_memory(error)) throw;
        failure = std::current_exception();
      }
    }
    if (possible.empty()) std::rethrow_exception(failure);
    if (independent.empty()) return possible;
    independent_of_place_ = true;
    depends_on_place_ = false;
    return independent;
  }

  at::Tensor run(const at::Tensor& input, const GpuKernels& kernels) const {
    const ForwardPlan plan = plan_forward(unet_, input.size(2), input.size(3), 2);
    std::vector<at::Tensor> images(plan.buffers.size());
    at::Tensor out, x = gpu::channels_last(input, type());
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const ForwardStep& step = plan.steps[i];
      const at::Tensor& in = step.in == kInput ? x : images[static_cast<std::size_t>(step.in)];
      at::Tensor& to = step.out == kOutput ? out : images[static_cast<std::size_t>(step.out)];
      take(step, kernels, in, to);
      if (step.in == kInput) x = at::Tensor();
      for (std::size_t b = 0; b < images.size(); ++b) {
        if (plan.buffers[b].last_step == static_cast<int>(i)) images[b] = at::Tensor();
      }
    }
    return out.to(at::kFloat, /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::Contiguous);
  }

  void take(const ForwardStep& step, const GpuKernels& kernels, const at::Tensor& in, at::Tensor& out) const {
    const auto layer = static_cast<std::size_t>(step.layer);
    switch (step.kind) {
      case ForwardStep::Kind::convolution: {
        const Layer& by = weights_.convolutions[layer];
        out = gpu::convolve_and_rectify(own_, kernels, in, by.weight, by.bias, unet_.padding == Padding::same ? 1 : 0);
        return;
      }
      case ForwardStep::Kind::to_classes:
        out = gpu::classify(own_, kernels, in, weights_.to_classes.weight, weights_.to_classes.bias, unet_.classes);
        return;
      case ForwardStep::Kind::pooling:
        if (kernels.own && own_.can_take(in)) out = own_.pool(in);
        else out = kernels.maxima ? gpu::pool_by_maxima(in) : at::max_pool2d(in, 2);
        return;
      case ForwardStep::Kind::crop:
        out = gpu::empty_image(in, step.out_channels, step.out_height, step.out_width);
        gpu::copy_image(gpu::middle_of(in, step.out_height, step.out_width), out.narrow(1, 0, step.in_channels));
        return;
      case ForwardStep::Kind::spread: {
        const Layer& up = weights_.spreads[layer];
        // 2x2 taps of a 3x3 kernel see the pixel before.
        out = up.weight.size(2) == 2 ? at::conv2d(at::constant_pad_nd(in, {1, 0, 1, 0}), up.weight, up.bias)
                                     : gpu::product(in, up.weight, up.bias);
        return;
      }
      case ForwardStep::Kind::shuffle:
        gpu::shuffle_into(in, out);
        return;
    }
  }

  /// A forward pass recorded for one shape.
  struct Recorded {
    at::Tensor input, output;
    std::unique_ptr<RecordedKernels> kernels;
    std::int64_t last_call = 0;
  };

  at::Tensor replayed(const at::Tensor& input, const GpuKernels& kernels) {
    constexpr std::size_t kKept = 4;  // each has memory of its own
    constexpr std::int64_t kIdle = 256;
    ++calls_;
    for (auto it = recorded_.begin(); it != recorded_.end(); ++it) {
      if (it->input.sizes() == input.sizes()) {
        recorded_.splice(recorded_.begin(), recorded_, it);
        return replay(input);
      }
    }
    // Recording pays only for what comes again and again.
    if (++seen_[input.sizes().vec()] < 2) return run(input, kernels);
    if (recorded_.size() >= kKept) {
      // Turned tiles of many shapes come in turns: none is to drive out what is in use.
      if (calls_ - recorded_.back().last_call < kIdle) return run(input, kernels);
      recorded_.pop_back();
    }
    recorded_.emplace_front();
    Recorded& pass = recorded_.front();
    try {
      pass.input = input.clone();
      pass.kernels = options_.record([&] { pass.output = run(pass.input, kernels); });
      return replay(input);
    } catch (const c10::Error& error) {
      spdlog::warn("{}: kernels cannot be recorded for an input of {} x {} pixels, and are started one by one: {}",
                   device_.text(), input.size(2), input.size(3), error.what_without_backtrace());
    }
    recorded_.clear();
    options_.record = {};
    return run(input, kernels);
  }

  at::Tensor replay(const at::Tensor& input) {
    Recorded& pass = recorded_.front();
    pass.last_call = calls_;
    pass.input.copy_(input);
    pass.kernels->replay();
    return pass.output.clone();
  }

  UNetOptions unet_;
  Precision precision_;
  Device device_;
  GpuNetworkOptions options_;
  std::optional<GpuKernels> kernels_;
  std::optional<std::pair<std::int64_t, std::int64_t>> chosen_for_;  ///< height and width of the first input
  bool independent_of_place_ = false, depends_on_place_ = false;  ///< known of kernels that were chosen here; neither: not known
  gpu::OwnKernels own_;
  FoldedWeights weights_;
  std::list<Recorded> recorded_;  ///< the most recently used first
  std::map<std::vector<std::int64_t>, std::int64_t> seen_;  ///< how often, by shape, before it was recorded
  std::int64_t calls_ = 0;
};

}  // namespace

std::unique_ptr<TileNetwork> make_gpu_network(const UNetImpl& network, Precision precision, const Device& device,
                                              const GpuNetworkOptions& options) {
  return std::make_unique<GpuNetwork>(network, precision, device, options);
}

}  // namespace tessera
