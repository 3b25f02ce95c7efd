#include <ATen/Functions.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "workers/device/out_of_memory.h"
#include "workers/device/torch_types.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/network/network.h"

namespace tessera {
namespace {

/// Records which parameters' gradients a backward pass has finished, and reports the length of the final
/// front.
class FinalGradients {
 public:
  explicit FinalGradients(const FlatParameters& parameters)
      : entries_(parameters.entries()), done_(entries_.size()) {}

  /// `between` may be null, as `ready`. Both are called by note().
  void begin(const GradientReady* ready, const BetweenLayers* between) {
    ready_ = ready;
    between_ = between;
    front_ = 0;
    std::fill(done_.begin(), done_.end(), false);
  }
  /// Called by the one LibTorch thread that runs the backward pass of the device.
  void note(std::size_t entry) {
    if (between_ != nullptr && *between_) (*between_)();
    done_[entry] = true;
    const std::size_t before = front_;
    while (front_ < done_.size() && done_[front_])
      ++front_;
    if (front_ == before || ready_ == nullptr || !*ready_) return;
    (*ready_)(entries_[front_ - 1].begin + entries_[front_ - 1].count());
  }

 private:
  const std::vector<FlatParameters::Entry>& entries_;
  std::vector<bool> done_;
  std::size_t front_ = 0;
  const GradientReady* ready_ = nullptr;
  const BetweenLayers* between_ = nullptr;
};

/// Runs after LibTorch has added a parameter's gradient.
class NoteFinal : public torch::autograd::FunctionPostHook {
 public:
  NoteFinal(FinalGradients& gradients, std::size_t entry) : gradients_(gradients), entry_(entry) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    gradients_.note(entry_);
    return outputs;
  }

 private:
  FinalGradients& gradients_;
  std::size_t entry_;
};

class AutogradEngine : public GradientEngine {
 public:
  AutogradEngine(FlatParameters& parameters, Precision precision, std::int64_t samples_at_once)
      : parameters_(parameters),
        own_dropout_(samples_at_once > 1 || parameters.device().is_cuda()),
        type_(scalar_type(precision)),
        final_(parameters) {
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < parameters.entries().size(); ++i)
      places[parameters.entries()[i].name] = i;
    for (const auto& item : parameters.network().named_parameters()) {
      accumulators_.push_back(torch::autograd::impl::grad_accumulator(item.value()));
      accumulators_.back()->add_post_hook(std::make_unique<NoteFinal>(final_, places.at(item.key())));
    }
  }

  using GradientEngine::forward;
  std::string text() const override {
    return std::string("LibTorch's operators, ") + (type_ == at::kFloat ? "float32" : "bfloat16");
  }

  at::Tensor forward(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds) override {
    if (own_dropout_) {
      parameters_.network().set_dropout_seeds({dropout_seeds.begin(), dropout_seeds.end()});
    } else {
      at::manual_seed(dropout_seeds.front());  // dropout draws from LibTorch's generator
    }
    input_sides_ = {input.size(2), input.size(3)};
    return with_memory_named([&] {
      logits_ = parameters_.network().forward(input.to(type_), on_host() ? between_layers_ : BetweenLayers());
      return logits_.detach().to(at::kFloat);
    });
  }

  void backward(const at::Tensor& logits_gradient, const GradientReady& ready) override {
    // On a GPU one of LibTorch's own threads runs the pass.
    final_.begin(&ready, on_host() ? &between_layers_ : nullptr);
    with_memory_named([&] { logits_.backward(logits_gradient.to(type_)); });
    logits_.reset();
    final_.begin(nullptr, nullptr);
  }

 private:
  template <class Pass>
  std::invoke_result_t<Pass> with_memory_named(const Pass& pass) const {
    return named_out_of_memory(input_sides_[0], input_sides_[1], pass);
  }

  bool on_host() const { return parameters_.device().is_cpu(); }

  FlatParameters& parameters_;
  bool own_dropout_;  ///< of each sample of a batch
  at::ScalarType type_;
  at::Tensor logits_;
  std::array<std::int64_t, 2> input_sides_{};
  FinalGradients final_;
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;  ///< the hooks live as long as these
};

}  // namespace

std::unique_ptr<GradientEngine> make_autograd_engine(FlatParameters& parameters, Precision precision,
                                                     std::int64_t samples_at_once) {
  return std::make_unique<AutogradEngine>(parameters, precision, samples_at_once);
}

}  // namespace tessera
