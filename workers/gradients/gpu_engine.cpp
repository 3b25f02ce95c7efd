#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <map>
#include <optional>
#include <vector>

#include "io/base/log.h"
#include "workers/device/out_of_memory.h"
#include "workers/gradients/gpu_passes.h"

namespace tessera {
namespace {

class GpuEngine : public GradientEngine {
 public:
  GpuEngine(FlatParameters& parameters, Precision precision, const GpuEngineOptions& options)
      : parameters_(parameters),
        options_(options),
        passes_(parameters, precision, options.launch),
        kernels_(options.kernels) {}

  using GradientEngine::forward;
  std::string text() const override {
    const GpuKernels kernels = kernels_.value_or(GpuKernels());
    return fmt::format("LibTorch's kernels arranged for a GPU, {}{}{}{}",
                       passes_.type() == at::kFloat ? "float32" : "bfloat16", kernels.fused ? ", fused" : "",
                       kernels.own ? ", custom CUDA kernels" : "", replayed_ != nullptr ? ", recorded" : "");
  }

  at::Tensor forward(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds) override {
    const at::NoGradGuard no_grad;
    return named_out_of_memory(input, [&] {
      if (!read_) passes_.read_parameters();
      read_ = true;
      const std::vector<at::Tensor> masks = passes_.dropout_masks(input, dropout_seeds);
      if (!kernels_) kernels_ = choose_kernels(input, masks);
      replayed_ = recorded(input, masks);
      if (replayed_ == nullptr) return passes_.forward(input, masks, *kernels_, kept_);
      replayed_->forward->replay();
      return replayed_->logits.clone();
    });
  }

  void backward(const at::Tensor& logits_gradient, const GradientReady& ready) override {
    const at::NoGradGuard no_grad;
    const at::Tensor input = replayed_ != nullptr ? replayed_->input : kept_.input;
    named_out_of_memory(input, [&] {
      if (replayed_ != nullptr) {
        replay_backward(logits_gradient);
        if (ready) ready(parameters_.values().numel());
      } else {
        passes_.backward(logits_gradient, kept_, ready);
      }
      // A recorded pass ends all at once: no gradient could be sent during it.
      if (ready) record_no_more();
      return 0;
    });
  }

  void parameters_changed() override { read_ = false; }

 private:
  /// Both recorded passes over inputs of one shape.
  struct Recording {
    int seen = 0;         ///< number of such inputs
    bool slower = false;  ///< than starting the kernels one by one
    at::Tensor input, logits, logits_gradient;
    std::vector<at::Tensor> masks;
    KeptImages kept;  ///< from the forward pass for the backward pass
    std::unique_ptr<RecordedKernels> forward, backward;
  };

  /// Whether choices are autotuned. Never where results must be reproducible.
  bool measures() const { return options_.time && !at::globalContext().deterministicCuDNN(); }

  GpuKernels choose_kernels(const at::Tensor& input, const std::vector<at::Tensor>& masks) {
    if (!measures()) return {};
    std::vector<GpuKernels> ways = {{}, {.fused = true}};
    if (options_.launch && passes_.type() == at::kBFloat16)
      ways.insert(ways.end(), {{.own = true}, {.fused = true, .own = true}});
    // A measured pass runs several times and adds to the sums.
    const at::Tensor sums = parameters_.sums().clone();
    const auto run = [&](const GpuKernels& kernels) {
      KeptImages kept;
      const at::Tensor logits = passes_.forward(input, masks, kernels, kept);
      passes_.backward(at::full_like(logits, 1e-3), kept, {});
    };
    const GpuKernels best = fastest_kernels(ways, run, options_.time);
    parameters_.sums().copy_(sums);
    return best;
  }

  /// The recording for inputs of this shape, with this input copied in; null without one, or not
  /// yet.
  Recording* recorded(const at::Tensor& input, const std::vector<at::Tensor>& masks) {
    constexpr int kPlain = 2;  // passes before one is recorded: recording pays only for shapes that recur
    const bool small = input.size(0) * input.size(2) * input.size(3) <= options_.recorded_pixels;
    if (!options_.record || !small || at::globalContext().deterministicCuDNN()) return nullptr;
    Recording& recording = recordings_[input.sizes().vec()];
    if (recording.slower || ++recording.seen <= kPlain) return nullptr;
    if (recording.forward) {
      recording.input.copy_(input);
      for (std::size_t i = 0; i < masks.size(); ++i)
        recording.masks[i].copy_(masks[i]);
      return &recording;
    }
    recording.input = input.clone();
    recording.masks = masks;
    const auto pass = [&] {
      recording.logits = passes_.forward(recording.input, recording.masks, *kernels_, recording.kept);
    };
    if (tried_to_record(pass, recording.forward)) return &recording;
    recordings_.clear();
    return nullptr;
  }

  void replay_backward(const at::Tensor& logits_gradient) {
    Recording& recording = *replayed_;
    if (recording.backward) {
      recording.logits_gradient.copy_(logits_gradient);
      recording.backward->replay();
      return;
    }
    recording.logits_gradient = logits_gradient.clone();
    // A recorded and measured pass runs several times and adds to the sums.
    const at::Tensor sums = parameters_.sums().clone();
    const auto pass = [&] {
      KeptImages kept = recording.kept;
      passes_.backward(recording.logits_gradient, kept, {});
    };
    const bool is_recorded = tried_to_record(pass, recording.backward) && is_faster_recorded(recording);
    parameters_.sums().copy_(sums);
    if (is_recorded) {
      recording.backward->replay();
      return;
    }
    pass();
    replayed_ = nullptr;
    recording = Recording();
    recording.slower = true;
  }

  bool is_faster_recorded(Recording& recording) {
    if (!measures()) return true;
    try {
      const double plain_s = options_.time([&] {
        KeptImages kept;
        passes_.forward(recording.input, recording.masks, *kernels_, kept);
        passes_.backward(recording.logits_gradient, kept, {});
      });
      const double recorded_s = options_.time([&] {
        // Including the copies that a step makes for it.
        recording.input.copy_(recording.input.clone());
        recording.forward->replay();
        recording.logits.clone();
        recording.logits_gradient.copy_(recording.logits_gradient.clone());
        recording.backward->replay();
      });
      spdlog::info("both passes over {} x {} x {} pixels: {:.2f} ms, recorded {:.2f} ms",
                   recording.input.size(0), recording.input.size(2), recording.input.size(3), 1e3 * plain_s,
                   1e3 * recorded_s);
      return recorded_s < plain_s;
    } catch (const c10::Error&) {  // no memory for both
      return false;
    }
  }

  bool tried_to_record(const std::function<void()>& pass, std::unique_ptr<RecordedKernels>& kernels) {
    try {
      kernels = options_.record(pass);
      return true;
    } catch (const c10::Error& error) {
      spdlog::warn("kernels cannot be recorded and are started one by one: {}",
                   error.what_without_backtrace());
    }
    options_.record = {};
    return false;
  }

  void record_no_more() {
    options_.record = {};
    replayed_ = nullptr;
    recordings_.clear();
  }

  FlatParameters& parameters_;
  GpuEngineOptions options_;
  GpuPasses passes_;
  bool read_ = false;  ///< the parameters
  std::optional<GpuKernels> kernels_;
  KeptImages kept_;
  std::map<std::vector<std::int64_t>, Recording> recordings_;  ///< by the input's shape
  Recording* replayed_ = nullptr;                              ///< in the last forward pass
};

}  // namespace

std::unique_ptr<GradientEngine> make_gpu_engine(FlatParameters& parameters, Precision precision,
                                                const GpuEngineOptions& options) {
  return std::make_unique<GpuEngine>(parameters, precision, options);
}

}  // namespace tessera
