#include "workers/network/translation_check.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <array>

namespace tessera {
namespace {

/// A varying pattern in [-1, 1]. A constant image would hide a dependence on the position.
at::Tensor pattern_like(const at::Tensor& like) {
  const at::Tensor numbers = at::arange(like.numel(), at::TensorOptions(at::kLong).device(like.device()));
  return ((numbers * 7919).remainder(1009).to(at::kFloat) / 504.5 - 1).reshape(like.sizes());
}

}  // namespace

std::optional<bool> is_translation_invariant(const NetworkGeometry& geometry, const at::Tensor& like,
                                             const std::function<at::Tensor(const at::Tensor&)>& run) {
  const at::Tensor pattern = pattern_like(like), here = run(pattern);
  if (!here.isfinite().all().item<bool>()) return std::nullopt;
  // Near the border a pixel depends on the zero padding, and so on its position.
  const std::int64_t border = geometry.padding == Padding::same ? geometry.margin : 0;
  constexpr std::array<std::int64_t, 3> kSteps = {1, 3, 10};
  bool compared = false;
  for (const std::int64_t steps : kSteps) {
    const std::int64_t shift = steps * geometry.alignment;
    const std::int64_t height = here.size(2) - shift - 2 * border, width = here.size(3) - shift - 2 * border;
    if (height <= 0 || width <= 0) continue;
    const at::Tensor there = run(at::roll(pattern, {shift, shift}, {2, 3}));
    const auto part = [&](const at::Tensor& logits, std::int64_t first) {
      return logits.narrow(2, first, height).narrow(3, first, width);
    };
    if (!part(here, border).equal(part(there, border + shift))) return false;
    compared = true;
  }
  return compared ? std::optional(true) : std::nullopt;
}

std::optional<bool> is_shape_invariant(const NetworkGeometry& geometry, const at::Tensor& like,
                                       const std::function<at::Tensor(const at::Tensor&)>& run) {
  const auto smaller = [&](std::int64_t side) {
    return side - (side - geometry.smallest_input) / 2 / geometry.alignment * geometry.alignment;
  };
  const std::int64_t height = smaller(like.size(2)), width = smaller(like.size(3));
  const at::Tensor pattern = pattern_like(like), whole = run(pattern);
  if ((height == like.size(2) && width == like.size(3)) || !whole.isfinite().all().item<bool>())
    return std::nullopt;
  const at::Tensor part = run(pattern.narrow(2, 0, height).narrow(3, 0, width).contiguous());
  // Below and to the right, the smaller input has zero padding where the larger input has pixels. Above and
  // to the left, both have zero padding.
  const std::int64_t border = geometry.padding == Padding::same ? geometry.margin : 0;
  const std::int64_t rows = part.size(2) - border, columns = part.size(3) - border;
  if (rows <= 0 || columns <= 0) return std::nullopt;
  const auto first = [&](const at::Tensor& logits) {
    return logits.narrow(2, 0, rows).narrow(3, 0, columns);
  };
  return first(part).equal(first(whole));
}

at::Tensor repeating_image(const LayerInput& input, std::int64_t period) {
  const auto memory = input.options.memory_format(at::MemoryFormat::ChannelsLast);
  at::Tensor image = at::empty({input.samples, input.channels, input.height, input.width}, memory);
  const at::Tensor like = at::empty({1, input.channels, period, period}, input.options.dtype(at::kFloat));
  const at::Tensor row =
      pattern_like(like).repeat({1, 1, 1, (input.width + period - 1) / period}).narrow(3, 0, input.width);
  for (std::int64_t y = 0; y < input.height; y += period) {
    const std::int64_t rows = std::min(period, input.height - y);
    image.narrow(2, y, rows).copy_(row.narrow(2, 0, rows));
  }
  return image;
}

std::optional<bool> is_layer_translation_invariant(const LayerInput& input, std::int64_t step,
                                                   std::int64_t border,
                                                   const std::function<at::Tensor(const at::Tensor&)>& run) {
  constexpr std::array<std::int64_t, 2> kPeriods = {
      7, 3};  // steps; coprime to each other and to the powers of 2 in kernels
  constexpr std::int64_t kValuesAtOnce = std::int64_t{1} << 24;  // values compared in one operation
  bool compared = false;
  for (const std::int64_t steps : kPeriods) {
    const std::int64_t period = steps * step;
    const at::Tensor whole = run(repeating_image(input, period));
    const at::Tensor out =
        whole.narrow(2, border, whole.size(2) - 2 * border).narrow(3, border, whole.size(3) - 2 * border);
    const std::int64_t height = out.size(2), width = out.size(3);
    if (height <= period || width <= period) continue;
    const std::int64_t rows_at_once =
        std::max<std::int64_t>(1, kValuesAtOnce / (out.size(0) * out.size(1) * width));
    for (std::int64_t y = 0; y < height; y += rows_at_once) {
      const at::Tensor rows = out.narrow(2, y, std::min(rows_at_once, height - y));
      if (!rows.isfinite().all().item<bool>()) return std::nullopt;
      if (!rows.narrow(3, 0, width - period).equal(rows.narrow(3, period, width - period))) return false;
      const std::int64_t below = std::min(rows.size(2), height - period - y);
      if (below > 0 && !rows.narrow(2, 0, below).equal(out.narrow(2, y + period, below))) return false;
    }
    compared = true;
  }
  return compared ? std::optional(true) : std::nullopt;
}

}  // namespace tessera
