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

/// What must not be taken for a way that is not possible: by rule all workers take the same, so what is short
/// of memory on one of them must not decide; and after a failure of CUDA's own nothing is possible. `known`:
/// another kernel of cuDNN's would do, so it is memory.
bool must_be_told(const c10::Error& error, bool by_rule, bool known) {
  const bool memory = says_out_of_memory(error) || (known && says_no_engine(error));
  return (by_rule && memory) || says_device_failed(error.what_without_backtrace());
}

/// A step summed in one order must be what LibTorch makes of it, but for rounding, on a square image.
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
              " summed in one order differs from LibTorch's by ", difference.max().item<double>(),
              " where values are up to ", expected_largest.max().item<double>());
}

/// By each kernel that may take the step in an input of whatever size.
void require_that_ordered_agrees(const KernelTrial& trial, std::size_t step) {
  for (const std::int64_t side : trial.ordered_sides(step))
    require_that_ordered_agrees(trial, step, side);
}

/// A way that depends on a pixel's place, with the layers at fault summed in one order; nothing where that
/// does not help. Where it cannot be done, that is said, and not tried again.
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
    if (must_be_told(error, !trial.time, true)) throw;
    spdlog::warn("no layer is summed in one order: {}", error.what_without_backtrace());
    can_order = false;
  }
  return std::nullopt;
}

/// By measuring, or the first.
GpuKernels best_of(const KernelTrial& trial, const std::vector<GpuKernels>& ways) {
  return trial.time
             ? fastest_kernels(
                   ways, [&](const GpuKernels& kernels) { trial.run(trial.input, kernels); }, trial.time)
             : ways.front();
}

/// All layers summed in one order.
KernelChoice all_ordered(const KernelTrial& trial) {
  TORCH_CHECK(trial.can_order, "there are no kernels of Tessera's own");
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
              "layers summed in one order depend on a pixel's place or the input's size nevertheless");
  choice.translation_invariant = by_place == true;
  choice.shape_invariant = by_size == true;
  return choice;
}

/// By ways, some layers of which may be summed in one order.
KernelChoice alike_at_places(const KernelTrial& trial, bool can_order) {
  std::vector<GpuKernels> possible, independent;
  KernelChoice choice;
  std::exception_ptr failure;
  for (const GpuKernels& way : trial.ways) {
    std::optional<bool> alike;
    try {
      const auto run = [&](const at::Tensor& input) { return trial.run(input, way); };
      alike = is_translation_invariant(trial.geometry, trial.input, run);
    } catch (const c10::Error& error) {
      if (must_be_told(error, !trial.time, !way.fused)) throw;
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
      if (must_be_told(error, true, true)) throw;
      spdlog::warn("tiles of other sizes may differ in rounding: {}", error.what_without_backtrace());
    }
  }
  return alike_at_places(trial, can_order);
}

}  // namespace tessera
