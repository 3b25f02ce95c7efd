#include "workers/infer/test_time_averaging.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "workers/numbers/cubic_kernel.h"

namespace tessera {
namespace {

/// A range of real coordinates along y and x.
struct Extent {
  double y_begin, y_end, x_begin, x_end;
};

/// The axis-aligned extent of the corners of `box` (pixel centres), rotated by the angle.
Extent rotated_extent(const Box& box, double sine, double cosine) {
  Extent extent{1e300, -1e300, 1e300, -1e300};
  for (const std::int64_t row : {box.begin.y, box.end.y - 1}) {
    for (const std::int64_t column : {box.begin.x, box.end.x - 1}) {
      const auto y = static_cast<double>(row), x = static_cast<double>(column);
      const double v = cosine * y + sine * x, u = -sine * y + cosine * x;
      extent = {std::min(extent.y_begin, v), std::max(extent.y_end, v), std::min(extent.x_begin, u),
                std::max(extent.x_end, u)};
    }
  }
  return extent;
}

std::int64_t floor_to(double value, std::int64_t multiple) {
  return static_cast<std::int64_t>(std::floor(value / static_cast<double>(multiple))) * multiple;
}

std::array<at::Tensor, 2> linear_weights(const at::Tensor& t) {
  return {1 - t, t};
}

/// Samples `image` (1, c, h, w), whose pixel (0, 0) lies at `origin`, at pixel (i, j) of `wanted` rotated
/// back by the angle of the given sine and cosine. Outside the image its border pixels are repeated.
at::Tensor sample(const at::Tensor& image, const Index3& origin, const Box& wanted, double sine,
                  double cosine, bool cubic) {
  const std::int64_t height = image.size(2), width = image.size(3);
  const auto options = at::TensorOptions(at::kDouble).device(image.device());
  const at::Tensor rows = at::arange(wanted.begin.y, wanted.end.y, options).unsqueeze(1);
  const at::Tensor columns = at::arange(wanted.begin.x, wanted.end.x, options).unsqueeze(0);
  const at::Tensor y = rows * cosine - columns * sine - static_cast<double>(origin.y);
  const at::Tensor x = rows * sine + columns * cosine - static_cast<double>(origin.x);
  const at::Tensor y_floor = y.floor(), x_floor = x.floor();
  const at::Tensor y_rest = (y - y_floor).to(at::kFloat), x_rest = (x - x_floor).to(at::kFloat);
  const at::Tensor pixels = image.contiguous().flatten(2);
  at::Tensor sum = at::zeros({1, image.size(1), wanted.shape().y, wanted.shape().x}, image.options());
  const auto add_neighbours = [&](const auto& y_weights, const auto& x_weights, int first) {
    for (std::size_t i = 0; i < y_weights.size(); ++i) {
      const at::Tensor row =
          (y_floor + (static_cast<int>(i) + first)).clamp(0, height - 1).to(at::kLong) * width;
      for (std::size_t j = 0; j < x_weights.size(); ++j) {
        const at::Tensor column = (x_floor + (static_cast<int>(j) + first)).clamp(0, width - 1).to(at::kLong);
        sum += pixels.index_select(2, (row + column).flatten()).reshape(sum.sizes()) *
               (y_weights[i] * x_weights[j]);
      }
    }
  };
  if (cubic) {
    add_neighbours(cubic_weights(y_rest), cubic_weights(x_rest), -1);
  } else {
    add_neighbours(linear_weights(y_rest), linear_weights(x_rest), 0);
  }
  return sum;
}

}  // namespace

at::Tensor apply_symmetry(const at::Tensor& x, int index) {
  at::Tensor y = x;
  if ((index & 1) != 0) y = y.flip(-2);
  if ((index & 2) != 0) y = y.flip(-1);
  return (index & 4) != 0 ? y.transpose(-2, -1) : y;
}

at::Tensor undo_symmetry(const at::Tensor& x, int index) {
  at::Tensor y = (index & 4) != 0 ? x.transpose(-2, -1) : x;
  if ((index & 2) != 0) y = y.flip(-1);
  return (index & 1) != 0 ? y.flip(-2) : y;
}

RotatedTile rotated_tile(const Tile& tile, int index, const NetworkGeometry& geometry, std::int64_t context) {
  const double angle = 2 * std::numbers::pi * index / kRotations;
  RotatedTile rotated;
  rotated.sine = std::sin(angle);
  rotated.cosine = std::cos(angle);
  const Extent core = rotated_extent(tile.core, rotated.sine, rotated.cosine);
  const auto along = [&](double begin, double end, int axis) {
    rotated.output.begin[axis] = floor_to(begin - 1, geometry.alignment);
    const std::int64_t needed = static_cast<std::int64_t>(std::ceil(end)) + 2 - rotated.output.begin[axis];
    rotated.input.begin[axis] = rotated.output.begin[axis] - geometry.margin;
    rotated.input.end[axis] =
        rotated.input.begin[axis] + geometry.input_side_for(round_up(needed, geometry.alignment));
    rotated.output.end[axis] = rotated.input.end[axis] - geometry.margin;
  };
  along(core.y_begin, core.y_end, 1);
  along(core.x_begin, core.x_end, 2);
  rotated.output.begin.z = tile.core.begin.z;
  rotated.output.end.z = tile.core.end.z;
  rotated.input.begin.z = rotated.source.begin.z = tile.core.begin.z - context;
  rotated.input.end.z = rotated.source.end.z = tile.core.end.z + context;
  const Extent source = rotated_extent(rotated.input, -rotated.sine, rotated.cosine);
  constexpr std::int64_t kCubicReach = 2;
  rotated.source.begin.y = static_cast<std::int64_t>(std::floor(source.y_begin)) - kCubicReach;
  rotated.source.end.y = static_cast<std::int64_t>(std::ceil(source.y_end)) + kCubicReach + 1;
  rotated.source.begin.x = static_cast<std::int64_t>(std::floor(source.x_begin)) - kCubicReach;
  rotated.source.end.x = static_cast<std::int64_t>(std::ceil(source.x_end)) + kCubicReach + 1;
  return rotated;
}

RotationReach rotation_reach(const NetworkGeometry& geometry, std::int64_t core_side) {
  // A core rotated by 45 degrees is the widest. Alignment, rounding and interpolation add less than this
  // slack.
  const double widest = std::numbers::sqrt2 * static_cast<double>(core_side) + 4;
  const std::int64_t output =
      round_up(static_cast<std::int64_t>(std::ceil(widest)), geometry.alignment) + geometry.alignment;
  const std::int64_t input = geometry.input_side_for(output);
  const double radius =
      std::numbers::sqrt2 * (static_cast<double>(input) / 2 + static_cast<double>(geometry.alignment));
  return {static_cast<std::int64_t>(std::ceil(radius)) + 4 - core_side / 2, input};
}

at::Tensor rotate_in(const at::Tensor& source, const RotatedTile& rotated) {
  return sample(source, rotated.source.begin, rotated.input, rotated.sine, rotated.cosine, true);
}

at::Tensor rotate_back(const at::Tensor& output, const RotatedTile& rotated, const Box& core) {
  return sample(output.unsqueeze(0), rotated.output.begin, core, -rotated.sine, rotated.cosine, false)
      .squeeze(0);
}

}  // namespace tessera
