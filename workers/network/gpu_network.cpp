#include "workers/network/gpu_network.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <list>
#include <map>

#include "io/log.h"
#include "workers/network/forward_plan.h"
#include "workers/network/gpu_operators.h"
#include "workers/network/network_weights.h"
#include "workers/network/out_of_memory.h"
#include "workers/network/own_kernels.h"
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
    for (Layer& layer : weights_.convolutions)
      to_device(layer);
    for (Layer& layer : weights_.spreads)
      to_device(layer);
    to_device(weights_.to_classes);
  }

  std::string text() const override {
    return fmt::format("LibTorch, {}, {}, {}", name_of(precision_), device_.text(),
                       kernels_ ? kernels_->text() : "kernels not chosen yet");
  }

  at::Tensor logits(const at::Tensor& input) override {
    const c10::InferenceMode inference;
    return named_out_of_memory(input, [&] {
      if (!kernels_) kernels_ = choose_kernels(input);
      const bool small = input.size(2) * input.size(3) <= options_.recorded_pixels;
      return options_.record && small ? replayed(input) : run(input, *kernels_);
    });
  }

 private:
  at::ScalarType type() const { return scalar_type(precision_); }

  void to_device(Layer& layer) const {
    layer.weight = gpu::channels_last(layer.weight.to(torch_device(device_)), type());
    layer.bias = layer.bias.to(torch_device(device_), type());
  }

  GpuKernels choose_kernels(const at::Tensor& input) const {
    // Those that are always the same give the same results every time.
    if (!device_.cuda || at::globalContext().deterministicCuDNN()) return {};
    std::vector<GpuKernels> ways = {{}, {.maxima = true}};
    // cuDNN's fused ReLU makes 0 of a NaN: what overflows in float16 would go unnoticed.
    if (precision_ != Precision::float16) ways.insert(ways.end(), {{.fused = true}, {.fused = true, .maxima = true}});
    if (options_.launch && precision_ == Precision::bfloat16) ways.insert(ways.end(), {{.own = true}, {.fused = true, .own = true}});
    const GpuKernels best =
        fastest_kernels(ways, [&](const GpuKernels& kernels) { run(input, kernels); }, cuda_timer(device_.index));
    spdlog::info("{}, {}: the fastest for {} x {} pixels is {}", device_.text(), name_of(precision_), input.size(2), input.size(3),
                 best.text());
    return best;
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
    return out.to(at::kFloat);
  }

  void take(const ForwardStep& step, const GpuKernels& kernels, const at::Tensor& in, at::Tensor& out) const {
    const auto layer = static_cast<std::size_t>(step.layer);
    switch (step.kind) {
      case ForwardStep::Kind::convolution: {
        const Layer& by = weights_.convolutions[layer];
        const std::int64_t padding = unet_.padding == Padding::same ? 1 : 0;
        out = kernels.own && own_.can_convolve(in, by.weight, by.bias)
                  ? own_.convolve_and_rectify(in, by.weight, by.bias, padding)
                  : gpu::convolve_and_rectify(in, by.weight, by.bias, padding, kernels.fused);
        return;
      }
      case ForwardStep::Kind::to_classes:
        out = kernels.own && own_.can_classify(in, weights_.to_classes.weight, weights_.to_classes.bias)
                  ? own_.classify(in, weights_.to_classes.weight, weights_.to_classes.bias)
                  : at::conv2d(in, weights_.to_classes.weight, weights_.to_classes.bias);
        return;
      case ForwardStep::Kind::pooling:
        if (kernels.own && own_.can_take(in)) out = own_.pool(in);
        else out = kernels.maxima ? gpu::pool_by_maxima(in) : at::max_pool2d(in, 2);
        return;
      case ForwardStep::Kind::crop:
        out = gpu::empty_image(in, step.out_channels, step.out_height, step.out_width);
        out.narrow(1, 0, step.in_channels).copy_(gpu::middle_of(in, step.out_height, step.out_width));
        return;
      case ForwardStep::Kind::spread: {
        const Layer& up = weights_.spreads[layer];
        // 2x2 taps of a 3x3 kernel see the pixel before.
        out = at::conv2d(up.weight.size(2) == 2 ? at::constant_pad_nd(in, {1, 0, 1, 0}) : in, up.weight, up.bias);
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

  at::Tensor replayed(const at::Tensor& input) {
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
    if (++seen_[input.sizes().vec()] < 2) return run(input, *kernels_);
    if (recorded_.size() >= kKept) {
      // Turned tiles of many shapes come in turns: none is to drive out what is in use.
      if (calls_ - recorded_.back().last_call < kIdle) return run(input, *kernels_);
      recorded_.pop_back();
    }
    recorded_.emplace_front();
    Recorded& pass = recorded_.front();
    try {
      pass.input = input.clone();
      pass.kernels = options_.record([&] { pass.output = run(pass.input, *kernels_); });
      return replay(input);
    } catch (const c10::Error& error) {
      spdlog::warn("{}: kernels cannot be recorded for an input of {} x {} pixels, and are started one by one: {}",
                   device_.text(), input.size(2), input.size(3), error.what_without_backtrace());
    }
    recorded_.clear();
    options_.record = {};
    return run(input, *kernels_);
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
