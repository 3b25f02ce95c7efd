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

using Kind = ForwardStep::Kind;

bool multiplies(const ForwardStep& step) {
  return step.kind == Kind::convolution || step.kind == Kind::spread || step.kind == Kind::to_classes;
}

LayerInput input_of(const KernelTrial& trial, const ForwardStep& step) {
  return {.samples = trial.input.size(0),
          .channels = step.in_channels,
          .height = step.in_height,
          .width = step.in_width,
          .options = trial.input.options().dtype(trial.type)};
}

GpuKernels with_ordered(GpuKernels kernels, std::size_t step) {
  kernels.ordered.insert(step);
  return kernels;
}

/// Whether an error must be thrown rather than rule out one variant. With heuristics all workers choose
/// alike, so a lack of memory on one of them must not decide; and after a failure of the device no variant
/// works. `known`: cuDNN has a kernel for this step, so its absence means a lack of memory.
bool must_be_thrown(const c10::Error& error, bool by_rule, bool known) {
  const bool memory = says_out_of_memory(error) || (known && says_no_engine(error));
  return (by_rule && memory) || says_device_failed(error.what_without_backtrace());
}

/// Compares a step with a fixed reduction order with LibTorch on a square image, up to rounding.
void require_that_ordered_agrees(const KernelTrial& trial, std::size_t step, std::int64_t side) {
  constexpr std::int64_t kPeriod = 37;
  LayerInput input = input_of(trial, trial.plan.steps[step]);
  input.samples = 1;
  input.height = input.width = side;
  const at::Tensor image = repeating_image(input, kPeriod);
  const HeuristicAlgorithms by_rule(trial.device);  // LibTorch's answer is not worth a search for the fastest
  const at::Tensor expected = trial.run_step(step, image, {}).to(at::kFloat),
                   found = trial.run_step(step, image, with_ordered({}, step)).to(at::kFloat);
  const auto largest_of_channels = [](const at::Tensor& x) { return x.abs().amax({0, 2, 3}); };
  const at::Tensor expected_largest = largest_of_channels(expected),
                   difference = largest_of_channels(found - expected);
  // Half the last place of a result that is rounded, more in sums of many terms; a channel may be 0 by ReLU
  // but for that.
  const at::Tensor allowed =
      (expected_largest + expected_largest.max() * 0.01) * (trial.type == at::kFloat ? 1e-4 : 2e-2);
  TORCH_CHECK((difference <= allowed).all().item<bool>(), "layer ", step,
              " with a fixed reduction order differs from LibTorch's by ", difference.max().item<double>(),
              " where values are up to ", expected_largest.max().item<double>());
}

/// Compares each kernel that may compute the step in an input of any size.
void require_that_ordered_agrees(const KernelTrial& trial, std::size_t step) {
  for (const std::int64_t side : trial.ordered_sides(step))
    require_that_ordered_agrees(trial, step, side);
}

/// A variant that depends on a pixel's position, with a fixed reduction order in the layers that cause this;
/// none where that does not help. Where it is impossible, a warning says so, and it is not tried again.
std::optional<GpuKernels> mended(const KernelTrial& trial, GpuKernels kernels, bool& can_order) {
  if (!can_order) return std::nullopt;
  try {
    int level = 0;  // poolings before
    for (std::size_t i = 0; i < trial.plan.steps.size(); ++i) {
      const ForwardStep& step = trial.plan.steps[i];
      if (step.kind == Kind::pooling) ++level;
      if (step.kind == Kind::shuffle) --level;
      if (!multiplies(step)) continue;
      const std::int64_t grid = std::max<std::int64_t>(1, trial.geometry.alignment >> level);
      const std::int64_t border =
          trial.geometry.padding == Padding::same || step.kind == Kind::spread ? 1 : 0;  // may see zeros
      const auto run = [&](const at::Tensor& image) { return trial.run_step(i, image, kernels); };
      if (is_layer_translation_invariant(input_of(trial, step), grid, border, run) != false) continue;
      require_that_ordered_agrees(trial, i);
      kernels.ordered.insert(i);
    }
    if (kernels.ordered.empty()) return std::nullopt;
    const auto run = [&](const at::Tensor& input) { return trial.run(input, kernels); };
    if (is_translation_invariant(trial.geometry, trial.input, run) == true) return kernels;
  } catch (const c10::Error& error) {
    if (must_be_thrown(error, !trial.time, true)) throw;
    spdlog::warn("no layer has a fixed reduction order: {}", error.what_without_backtrace());
    can_order = false;
  }
  return std::nullopt;
}

/// The autotuned variant, or the first one without a timer.
GpuKernels best_of(const KernelTrial& trial, const std::vector<GpuKernels>& ways) {
  return trial.time
             ? fastest_kernels(
                   ways, [&](const GpuKernels& kernels) { trial.run(trial.input, kernels); }, trial.time)
             : ways.front();
}

/// A fixed reduction order in all layers.
KernelChoice all_ordered(const KernelTrial& trial) {
  TORCH_CHECK(trial.can_order, "there are no custom CUDA kernels");
  KernelChoice choice{.kernels = trial.ways.front()};
  choice.kernels.fused = false;
  for (std::size_t i = 0; i < trial.plan.steps.size(); ++i) {
    if (!multiplies(trial.plan.steps[i])) continue;
    require_that_ordered_agrees(trial, i);
    choice.kernels.ordered.insert(i);
  }
  const auto run = [&](const at::Tensor& input) { return trial.run(input, choice.kernels); };
  const auto by_place = is_translation_invariant(trial.geometry, trial.input, run),
             by_size = is_shape_invariant(trial.geometry, trial.input, run);
  TORCH_CHECK(by_place != false && by_size != false,
              "layers with a fixed reduction order still depend on a pixel's position or the input's size");
  choice.translation_invariant = by_place == true;
  choice.shape_invariant = by_size == true;
  return choice;
}

/// The choice among the variants, some layers of which may get a fixed reduction order.
KernelChoice choose_translation_invariant(const KernelTrial& trial, bool can_order) {
  std::vector<GpuKernels> possible, independent;
  KernelChoice choice;
  std::exception_ptr failure;
  for (const GpuKernels& way : trial.ways) {
    std::optional<bool> alike;
    try {
      const auto run = [&](const at::Tensor& input) { return trial.run(input, way); };
      alike = is_translation_invariant(trial.geometry, trial.input, run);
    } catch (const c10::Error& error) {
      if (must_be_thrown(error, !trial.time, !way.fused)) throw;
      failure = std::current_exception();
      continue;
    }
    possible.push_back(way);
    std::optional<GpuKernels> alike_everywhere;
    if (alike == true) alike_everywhere = way;
    if (alike == false) alike_everywhere = mended(trial, way, can_order);
    choice.depends_on_place = choice.depends_on_place || (alike == false && !alike_everywhere);
    if (alike_everywhere) independent.push_back(*alike_everywhere);
    if (!trial.time && (alike_everywhere || alike != false)) break;  // the first is taken
  }
  if (possible.empty()) std::rethrow_exception(failure);
  choice.translation_invariant = !independent.empty();
  if (choice.translation_invariant) choice.depends_on_place = false;
  choice.kernels = best_of(trial, choice.translation_invariant ? independent : possible);
  return choice;
}

}  // namespace

bool says_device_failed(const std::string& what) {
  for (const char* sign :
       {"illegal memory access", "misaligned address", "illegal instruction", "launch failure",
        "launch timed out", "hardware stack error", "invalid program counter"}) {
    if (what.find(sign) != std::string::npos) return true;
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
      if (must_be_thrown(error, true, true)) throw;
      spdlog::warn("tiles of other sizes may differ in rounding: {}", error.what_without_backtrace());
    }
  }
  return choose_translation_invariant(trial, can_order);
}

}  // namespace tessera
