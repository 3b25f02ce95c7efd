#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "io/base/error.h"
#include "workers/network/network_description.h"

namespace tessera {
namespace {

using Kind = LayerDescription::Kind;

/// The side of a layer's output along an axis. No value if the layer does not fit its input.
std::optional<std::int64_t> side_after(const LayerDescription& layer, int axis,
                                       const std::vector<std::int64_t>& sides) {
  const std::int64_t in = sides[static_cast<std::size_t>(layer.inputs[0])];
  const std::int64_t extent = layer.window.dilation[axis] * (layer.window.kernel[axis] - 1) + 1;
  const std::int64_t steps = in + 2 * layer.window.padding[axis] - extent;
  switch (layer.kind) {
    case Kind::convolution:
    case Kind::max_pooling:
      if (steps < 0 || steps % layer.window.stride[axis] != 0) return std::nullopt;
      return steps / layer.window.stride[axis] + 1;
    case Kind::up_convolution:
      return in * layer.window.stride[axis];
    case Kind::crop_and_concatenation: {
      const std::int64_t side = sides[static_cast<std::size_t>(layer.inputs[1])];
      if (in < side || (in - side) % 2 != 0) return std::nullopt;
      return side;
    }
    case Kind::batch_normalisation:
    case Kind::relu:
    case Kind::dropout:
      break;
  }
  return in;
}

/// The sides of all values along an axis. The list ends before the first layer that does not fit.
std::vector<std::int64_t> sides_along(const NetworkDescription& network, int axis, std::int64_t input) {
  std::vector<std::int64_t> sides{input};
  for (const LayerDescription& layer : network.layers) {
    const std::optional<std::int64_t> side = side_after(layer, axis, sides);
    if (!side || *side < 1) break;
    sides.push_back(*side);
  }
  return sides;
}

bool fits(const NetworkDescription& network, int axis, std::int64_t input) {
  return input >= 1 && sides_along(network, axis, input).size() == network.layers.size() + 1;
}

/// One flag per position of a value along an axis: true if the position depends on data outside the image.
using PaddingFlags = std::vector<bool>;

PaddingFlags reached_by_window(const LayerDescription& layer, int axis, const PaddingFlags& in,
                               std::int64_t out_side) {
  PaddingFlags out(static_cast<std::size_t>(out_side), false);
  for (std::int64_t o = 0; o < out_side; ++o) {
    for (std::int64_t tap = 0; tap < layer.window.kernel[axis]; ++tap) {
      const std::int64_t i =
          o * layer.window.stride[axis] - layer.window.padding[axis] + tap * layer.window.dilation[axis];
      const bool outside = i < 0 || i >= static_cast<std::int64_t>(in.size());
      if (outside || in[static_cast<std::size_t>(i)]) out[static_cast<std::size_t>(o)] = true;
    }
  }
  return out;
}

PaddingFlags reached_by_up_convolution(const LayerDescription& layer, int axis, const PaddingFlags& in) {
  const std::int64_t stride = layer.window.stride[axis], side = static_cast<std::int64_t>(in.size());
  PaddingFlags out(static_cast<std::size_t>(side * stride), false);
  for (std::int64_t o = 0; o < side * stride; ++o) {
    for (std::int64_t tap = o % stride; tap < layer.window.kernel[axis]; tap += stride) {
      const std::int64_t i = (o - tap) / stride;
      if (o < tap || in[static_cast<std::size_t>(i)]) out[static_cast<std::size_t>(o)] = true;
    }
  }
  return out;
}

/// The flags of the network's output.
PaddingFlags reached_along(const NetworkDescription& network, int axis, std::int64_t input) {
  const std::vector<std::int64_t> sides = sides_along(network, axis, input);
  std::vector<PaddingFlags> values{PaddingFlags(static_cast<std::size_t>(input), false)};
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const LayerDescription& layer = network.layers[i];
    const PaddingFlags& in = values[static_cast<std::size_t>(layer.inputs[0])];
    if (layer.kind == Kind::convolution || layer.kind == Kind::max_pooling) {
      values.push_back(reached_by_window(layer, axis, in, sides[i + 1]));
    } else if (layer.kind == Kind::up_convolution) {
      values.push_back(reached_by_up_convolution(layer, axis, in));
    } else if (layer.kind == Kind::crop_and_concatenation) {
      PaddingFlags both = values[static_cast<std::size_t>(layer.inputs[1])];
      const std::size_t cut = (in.size() - both.size()) / 2;
      for (std::size_t at = 0; at < both.size(); ++at)
        both[at] = both[at] || in[at + cut];
      values.push_back(std::move(both));
    } else {
      values.push_back(in);
    }
  }
  return values.back();
}

std::int64_t alignment_along(const NetworkDescription& network, int axis) {
  std::int64_t alignment = 1;
  for (const Index3& scale : value_scales(network))
    alignment = std::lcm(alignment, scale[axis]);
  return alignment;
}

constexpr std::int64_t kLargestSide = std::int64_t{1} << 20;

/// The smallest input side that has an output. Errors: Error if there is none below `kLargestSide`.
std::int64_t smallest_side(const NetworkDescription& network, int axis) {
  for (std::int64_t side = 1; side < kLargestSide; ++side) {
    if (fits(network, axis, side)) return side;
  }
  throw Error(fmt::format("the layers of the network fit no input along axis {}", axis));
}

}  // namespace

std::vector<Index3> value_shapes(const NetworkDescription& network, const Index3& input) {
  std::vector<Index3> shapes(network.layers.size() + 1);
  for (int axis = 0; axis < 3; ++axis) {
    const std::vector<std::int64_t> sides = sides_along(network, axis, input[axis]);
    if (sides.size() != shapes.size()) {
      throw Error(fmt::format("an input of {} voxels along axis {} does not fit layer {} of the network",
                              input[axis], axis, sides.size() - 1));
    }
    for (std::size_t value = 0; value < shapes.size(); ++value)
      shapes[value][axis] = sides[value];
  }
  return shapes;
}

std::vector<Index3> value_scales(const NetworkDescription& network) {
  std::vector<Index3> scales{{1, 1, 1}};
  for (const LayerDescription& layer : network.layers) {
    Index3 scale = scales[static_cast<std::size_t>(layer.inputs[0])];
    for (int axis = 0; axis < 3; ++axis) {
      if (layer.kind == Kind::convolution || layer.kind == Kind::max_pooling)
        scale[axis] *= layer.window.stride[axis];
      if (layer.kind != Kind::up_convolution) continue;
      if (scale[axis] % layer.window.stride[axis] != 0)
        throw Error(fmt::format("{} upsamples beyond the resolution of the network's input", layer.name));
      scale[axis] /= layer.window.stride[axis];
    }
    if (layer.inputs.size() == 2 && scale != scales[static_cast<std::size_t>(layer.inputs[1])])
      throw Error("a concatenation joins images of unequal resolution");
    scales.push_back(scale);
  }
  return scales;
}

std::int64_t padding_reach(const NetworkDescription& network, int axis) {
  const std::int64_t smallest = smallest_side(network, axis), alignment = alignment_along(network, axis);
  for (std::int64_t extra = 64; extra < kLargestSide; extra *= 2) {
    const PaddingFlags reached = reached_along(network, axis, smallest + round_up(extra, alignment));
    const auto clean_first = std::find(reached.begin(), reached.end(), false);
    const auto clean_last = std::find(reached.rbegin(), reached.rend(), false);
    if (clean_first != reached.end())
      return std::max(clean_first - reached.begin(), clean_last - reached.rbegin());
  }
  throw Error("the zero padding affects the whole output of the network");
}

AxisGeometry axis_geometry(const NetworkDescription& network, int axis, std::int64_t context) {
  if (axis == 0 && network.dimensions == 2) return section_geometry(context);
  const std::int64_t side = smallest_side(network, axis);
  const std::int64_t lost = side - sides_along(network, axis, side).back();
  const std::int64_t reach = padding_reach(network, axis);
  if (lost < 0 || lost % 2 != 0 || (lost > 0 && reach > 0)) {
    throw Error(
        fmt::format("along axis {} the network is neither valid nor 'same': an input of {} voxels loses {} "
                    "voxels, and the "
                    "zero padding affects {} voxels of the output",
                    axis, side, lost, reach));
  }
  AxisGeometry geometry;
  geometry.padding = lost > 0 ? Padding::valid : Padding::same;
  geometry.alignment = alignment_along(network, axis);
  geometry.margin = lost > 0 ? lost / 2 : round_up(reach, geometry.alignment);
  geometry.side_remainder = side % geometry.alignment;
  geometry.smallest_input = side;
  return geometry;
}

NetworkGeometry geometry_of(const NetworkDescription& network, std::int64_t context) {
  NetworkGeometry geometry;
  static_cast<AxisGeometry&>(geometry) = axis_geometry(network, 1);
  if (geometry[1] != axis_geometry(network, 2))
    throw Error("the layers of the network differ between y and x");
  geometry.z = axis_geometry(network, 0, context);
  return geometry;
}

}  // namespace tessera
