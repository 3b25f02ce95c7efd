#include "workers/network/kernel_choice.h"

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "io/base/log.h"
#include "workers/device/out_of_memory.h"
#include "workers/network/translation_check.h"

namespace tessera {
namespace {

bool has_weights(const ForwardStep& step) {
  return step.kind == ForwardStep::Kind::convolution || step.kind == ForwardStep::Kind::spread ||
         step.kind == ForwardStep::Kind::to_classes;
}

LayerInput input_of(const KernelTrial& trial, const ForwardStep& step) {
  return {.samples = trial.input.size(0),
          .channels = step.in_channels,
          .height = step.in_height,
          .width = step.in_width,
          .options = trial.input.options().dtype(trial.type)};
}

GpuKernels with_fixed_order(GpuKernels kernels, std::size_t step) {
  kernels.ordered.insert(step);
  return kernels;
}

/// Whether an error must be rethrown instead of excluding one variant. With a heuristic choice all workers
/// must choose the same variant, so a lack of memory on one worker must not decide. After a device failure no
/// variant works. `known`: cuDNN has a kernel for this step, so a missing engine means a lack of memory.
bool must_rethrow(const c10::Error& error, bool heuristic, bool known) {
  const bool memory = says_out_of_memory(error) || (known && says_no_engine(error));
  return (heuristic && memory) || says_device_failed(error.what_without_backtrace());
}

/// Compares a step in a fixed reduction order with LibTorch's result on a square image of `side` pixels.
/// Errors: c10::Error if they differ by more than rounding.
void require_that_ordered_agrees(const KernelTrial& trial, std::size_t step, std::int64_t side) {
  constexpr std::int64_t kPeriod = 37;
  LayerInput input = input_of(trial, trial.plan.steps[step]);
  input.samples = 1;
  input.height = input.width = side;
  const at::Tensor image = repeating_image(input, kPeriod);
  const HeuristicAlgorithms heuristic(trial.device);  // autotuning does not pay for one reference run
  const at::Tensor expected = trial.run_step(step, image, {}).to(at::kFloat),
                   found = trial.run_step(step, image, with_fixed_order({}, step)).to(at::kFloat);
  const auto largest_of_channels = [](const at::Tensor& x) { return x.abs().amax({0, 2, 3}); };
  const at::Tensor expected_largest = largest_of_channels(expected),
                   difference = largest_of_channels(found - expected);
  // The tolerance is half the last place of a rounded result, and more for sums of many terms. ReLU may set a
  // whole channel to 0, up to rounding, so the largest value of all channels counts too.
  const at::Tensor allowed =
      (expected_largest + expected_largest.max() * 0.01) * (trial.type == at::kFloat ? 1e-4 : 2e-2);
  TORCH_CHECK((difference <= allowed).all().item<bool>(), "layer ", step,
              " in a fixed reduction order differs from LibTorch's result by ",
              difference.max().item<double>(), ", where the largest value is ",
              expected_largest.max().item<double>());
}

/// The same comparison for each kernel that may compute the step. The kernel depends on the input's size.
void require_that_ordered_agrees(const KernelTrial& trial, std::size_t step) {
  for (const std::int64_t side : trial.ordered_sides(step))
    require_that_ordered_agrees(trial, step, side);
}

/// Gives a variant that depends on the pixel's position a fixed reduction order in the layers that cause
/// this. No value if the result still depends on the position. If a fixed order fails, logs a warning and
/// clears `can_order`.
std::optional<GpuKernels> with_fixed_order_where_needed(const KernelTrial& trial, GpuKernels kernels,
                                                        bool& can_order) {
  if (!can_order) return std::nullopt;
  try {
    int level = 0;  // number of poolings so far
    for (std::size_t i = 0; i < trial.plan.steps.size(); ++i) {
      const ForwardStep& step = trial.plan.steps[i];
      if (step.kind == ForwardStep::Kind::pooling) ++level;
      if (step.kind == ForwardStep::Kind::shuffle) --level;
      if (!has_weights(step)) continue;
      const std::int64_t grid = std::max<std::int64_t>(1, trial.geometry.alignment >> level);
      const std::int64_t border =
          trial.geometry.padding == Padding::same || step.kind == ForwardStep::Kind::spread
              ? 1
              : 0;  // may read padding
      const auto run = [&](const at::Tensor& image) { return trial.run_step(i, image, kernels); };
      if (is_layer_translation_invariant(input_of(trial, step), grid, border, run) != false) continue;
      require_that_ordered_agrees(trial, i);
      kernels.ordered.insert(i);
    }
    if (kernels.ordered.empty()) return std::nullopt;
    const auto run = [&](const at::Tensor& input) { return trial.run(input, kernels); };
    if (is_translation_invariant(trial.geometry, trial.input, run) == true) return kernels;
  } catch (const c10::Error& error) {
    if (must_rethrow(error, !trial.time, true)) throw;
    spdlog::warn("no layer uses a fixed reduction order: {}", error.what_without_backtrace());
    can_order = false;
  }
  return std::nullopt;
}

/// The fastest variant by the timer. Without a timer, the first variant.
GpuKernels best_of(const KernelTrial& trial, const std::vector<GpuKernels>& variants) {
  return trial.time
             ? fastest_kernels(
                   variants, [&](const GpuKernels& kernels) { trial.run(trial.input, kernels); }, trial.time)
             : variants.front();
}

/// A choice with a fixed reduction order in all layers.
KernelChoice all_ordered(const KernelTrial& trial) {
  TORCH_CHECK(trial.can_order, "this build has no custom CUDA kernels");
  KernelChoice choice{.kernels = trial.variants.front()};
  choice.kernels.fused = false;
  for (std::size_t i = 0; i < trial.plan.steps.size(); ++i) {
    if (!has_weights(trial.plan.steps[i])) continue;
    require_that_ordered_agrees(trial, i);
    choice.kernels.ordered.insert(i);
  }
  const auto run = [&](const at::Tensor& input) { return trial.run(input, choice.kernels); };
  const auto translation = is_translation_invariant(trial.geometry, trial.input, run),
             shape = is_shape_invariant(trial.geometry, trial.input, run);
  TORCH_CHECK(translation != false && shape != false,
              "layers with a fixed reduction order still depend on a pixel's position or the input's size");
  choice.translation_invariant = translation == true;
  choice.shape_invariant = shape == true;
  return choice;
}

/// Chooses one of the variants. Single layers may get a fixed reduction order.
KernelChoice choose_translation_invariant(const KernelTrial& trial, bool can_order) {
  std::vector<GpuKernels> possible, invariant;
  KernelChoice choice;
  std::exception_ptr failure;
  for (const GpuKernels& variant : trial.variants) {
    std::optional<bool> is_invariant;
    try {
      const auto run = [&](const at::Tensor& input) { return trial.run(input, variant); };
      is_invariant = is_translation_invariant(trial.geometry, trial.input, run);
    } catch (const c10::Error& error) {
      if (must_rethrow(error, !trial.time, !variant.fused)) throw;
      failure = std::current_exception();
      continue;
    }
    possible.push_back(variant);
    std::optional<GpuKernels> accepted;
    if (is_invariant == true) accepted = variant;
    if (is_invariant == false) accepted = with_fixed_order_where_needed(trial, variant, can_order);
    choice.depends_on_position = choice.depends_on_position || (is_invariant == false && !accepted);
    if (accepted) invariant.push_back(*accepted);
    if (!trial.time && (accepted || is_invariant != false))
      break;  // without a timer the first suitable variant is chosen
  }
  if (possible.empty()) std::rethrow_exception(failure);
  choice.translation_invariant = !invariant.empty();
  if (choice.translation_invariant) choice.depends_on_position = false;
  choice.kernels = best_of(trial, choice.translation_invariant ? invariant : possible);
  return choice;
}

}  // namespace

bool says_device_failed(const std::string& what) {
  for (const char* text :
       {"illegal memory access", "misaligned address", "illegal instruction", "launch failure",
        "launch timed out", "hardware stack error", "invalid program counter"}) {
    if (what.find(text) != std::string::npos) return true;
  }
  return false;
}

KernelChoice choose_kernels(const KernelTrial& trial, ExactTiles exact_tiles) {
  if (exact_tiles == ExactTiles::yes) return all_ordered(trial);
  const bool can_order = trial.can_order && exact_tiles == ExactTiles::automatic;
  if (can_order && trial.type == at::kFloat && !trial.time) {
    try {
      return all_ordered(trial);
    } catch (const c10::Error& error) {
      if (must_rethrow(error, true, true)) throw;
      spdlog::warn("results may depend on the tile size by rounding: {}", error.what_without_backtrace());
    }
  }
  return choose_translation_invariant(trial, can_order);
}

}  // namespace tessera
