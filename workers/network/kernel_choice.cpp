#include "workers/network/kernel_choice.h"

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "io/log.h"
#include "workers/network/out_of_memory.h"
#include "workers/network/place_check.h"

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

/// A step summed in one order must be what LibTorch makes of it, but for rounding: on a small image, once.
void require_that_ordered_agrees(const KernelTrial& trial, std::size_t step) {
  constexpr std::int64_t kSide = 40, kPeriod = 37;
  LayerInput input = input_of(trial, trial.plan.steps[step]);
  input.samples = 1;
  input.height = input.width = kSide;
  const at::Tensor image = repeating_image(input, kPeriod);
  const at::Tensor expected = trial.run_step(step, image, {}).to(at::kFloat),
                   found = trial.run_step(step, image, with_ordered({}, step)).to(at::kFloat);
  // Half the last place of a result that is rounded, more in sums of many terms.
  const at::Tensor largest = expected.abs().max(), difference = (found - expected).abs().max();
  TORCH_CHECK((difference <= largest * (trial.type == at::kFloat ? 1e-4 : 2e-2)).item<bool>(), "layer ", step,
              " summed in one order differs from LibTorch's by ", difference.item<double>(), " where values are up to ", largest.item<double>());
}

/// A way that depends on a pixel's place, with the layers at fault summed in one order; nothing where that does not help.
std::optional<GpuKernels> mended(const KernelTrial& trial, GpuKernels kernels) {
  if (!trial.can_order) return std::nullopt;
  try {
    int level = 0;  // poolings before
    for (std::size_t i = 0; i < trial.plan.steps.size(); ++i) {
      const ForwardStep& step = trial.plan.steps[i];
      if (step.kind == Kind::pooling) ++level;
      if (step.kind == Kind::spread) --level;
      if (!multiplies(step)) continue;
      const std::int64_t grid = trial.geometry.alignment >> (step.kind == Kind::spread ? level + 1 : level);
      const std::int64_t border = trial.geometry.padding == Padding::same || step.kind == Kind::spread ? 1 : 0;  // may see zeros
      const auto run = [&](const at::Tensor& image) { return trial.run_step(i, image, kernels); };
      if (is_layer_independent_of_place(input_of(trial, step), std::max<std::int64_t>(grid, 1), border, run) != false) continue;
      require_that_ordered_agrees(trial, i);
      kernels.ordered.insert(i);
    }
    if (kernels.ordered.empty()) return std::nullopt;
    const auto run = [&](const at::Tensor& input) { return trial.run(input, kernels); };
    if (is_independent_of_place(trial.geometry, trial.input, run) == true) return kernels;
  } catch (const c10::Error& error) {
    if (says_out_of_memory(error)) throw;
    spdlog::warn("no layer is summed in one order: {}", error.what_without_backtrace());
  }
  return std::nullopt;
}

/// By measuring, or the first.
GpuKernels best_of(const KernelTrial& trial, const std::vector<GpuKernels>& ways) {
  return trial.time ? fastest_kernels(ways, [&](const GpuKernels& kernels) { trial.run(trial.input, kernels); }, trial.time) : ways.front();
}

}  // namespace

KernelChoice choose_kernels(const KernelTrial& trial) {
  std::vector<GpuKernels> possible, independent;
  KernelChoice choice;
  std::exception_ptr failure;
  for (const GpuKernels& way : trial.ways) {
    try {
      const auto run = [&](const at::Tensor& input) { return trial.run(input, way); };
      const std::optional<bool> alike = is_independent_of_place(trial.geometry, trial.input, run);
      possible.push_back(way);
      std::optional<GpuKernels> alike_everywhere;
      if (alike == true) alike_everywhere = way;
      if (alike == false) alike_everywhere = mended(trial, way);
      choice.depends_on_place = choice.depends_on_place || (alike == false && !alike_everywhere);
      if (alike_everywhere) independent.push_back(*alike_everywhere);
      if (!trial.time && (alike_everywhere || alike != false)) break;  // the first is taken
    } catch (const c10::Error& error) {
      // All workers must take the same: what is short of memory on one of them must not decide.
      if (!trial.time && says_out_of_memory(error)) throw;
      failure = std::current_exception();
    }
  }
  if (possible.empty()) std::rethrow_exception(failure);
  choice.independent_of_place = !independent.empty();
  if (choice.independent_of_place) choice.depends_on_place = false;
  choice.kernels = best_of(trial, choice.independent_of_place ? independent : possible);
  return choice;
}

KernelChoice choose_ordered_kernels(const KernelTrial& trial) {
  KernelChoice choice{.kernels = trial.ways.front()};
  for (std::size_t i = 0; i < trial.plan.steps.size(); ++i) {
    if (!multiplies(trial.plan.steps[i])) continue;
    require_that_ordered_agrees(trial, i);
    choice.kernels.ordered.insert(i);
  }
  const auto run = [&](const at::Tensor& input) { return trial.run(input, choice.kernels); };
  const auto by_place = is_independent_of_place(trial.geometry, trial.input, run), by_size = is_independent_of_size(trial.geometry, trial.input, run);
  TORCH_CHECK(by_place != false && by_size != false, "layers summed in one order depend on a pixel's place or the input's size nevertheless");
  choice.independent_of_place = choice.independent_of_size = true;
  return choice;
}

}  // namespace tessera
