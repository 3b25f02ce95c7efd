#include "io/geometry/block_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "io/base/error.h"

namespace tessera {

BlockPlan::BlockPlan(const Index3& volume_shape, const Index3& block_shape)
    : region_(Box::of_shape(volume_shape)), block_shape_(block_shape) {
  for (int axis = 0; axis < 3; ++axis)
    grid_[axis] = ceil_div(volume_shape[axis], block_shape[axis]);
}

BlockPlan BlockPlan::of_region(const Box& region, const Index3& block_shape) {
  BlockPlan plan(region.shape(), block_shape);
  plan.region_ = region;
  return plan;
}

std::string BlockPlan::problem_of(const Box& region, const Index3& block_shape) {
  constexpr std::int64_t kLongest = std::int64_t{1} << 40, kMostBlocks = std::int64_t{1} << 31;
  std::int64_t blocks = 1;
  for (int axis = 0; axis < 3; ++axis) {
    if (region.begin[axis] < 0 || region.end[axis] > kLongest || region.begin[axis] >= region.end[axis])
      return fmt::format("its region is {}", to_string(region));
    if (block_shape[axis] < 1 || block_shape[axis] > kLongest)
      return fmt::format("its blocks are {}", to_string(block_shape));
    const std::int64_t along = ceil_div(region.end[axis] - region.begin[axis], block_shape[axis]);
    if (along > kMostBlocks / blocks)
      return fmt::format("its region {} has too many blocks of {}", to_string(region),
                         to_string(block_shape));
    blocks *= along;
  }
  return {};
}

Box BlockPlan::block(std::int64_t id) const {
  const Index3 at{id / (grid_.y * grid_.x), id / grid_.x % grid_.y, id % grid_.x};
  Box box;
  for (int axis = 0; axis < 3; ++axis) {
    box.begin[axis] = region_.begin[axis] + at[axis] * block_shape_[axis];
    box.end[axis] = std::min(box.begin[axis] + block_shape_[axis], region_.end[axis]);
  }
  return box;
}

std::vector<std::int64_t> BlockPlan::hand_out_order() const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count()));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [this](std::int64_t a, std::int64_t b) { return block(a).voxels() > block(b).voxels(); });
  return order;
}

Index3 choose_output_chunk(const BlockChoice& choice) {
  const Index3 shape = choice.volume_shape;
  if (choice.input_chunk) {
    const Index3 chunk = *choice.input_chunk;
    bool fits = volume_of(chunk) >= 16 * 1024 && volume_of(chunk) <= 16 * 1024 * 1024;
    for (int axis = 1; axis < 3; ++axis) {
      fits = fits && (chunk[axis] % choice.alignment == 0 || chunk[axis] >= shape[axis]);
    }
    if (fits) return {std::min(chunk.z, shape.z), std::min(chunk.y, shape.y), std::min(chunk.x, shape.x)};
  }
  // As deep as the input's chunks, so that one layer of blocks reads one layer of chunks.
  constexpr std::int64_t kDepth = 4, kDeep = 16, kDeepest = 256;
  const std::int64_t input_depth = choice.input_chunk ? choice.input_chunk->z : 1;
  const std::int64_t depth = input_depth == 1 || input_depth > kDeepest ? kDepth : input_depth;
  const std::int64_t side = depth > kDeep ? 128 : 256;
  return {std::min(depth, shape.z), std::min(side, shape.y), std::min(side, shape.x)};
}

Index3 choose_block_shape(const BlockChoice& choice, const Index3& output_chunk) {
  constexpr std::int64_t kWide = 2048, kWholeSection = 3072, kManyBlocks = 512;
  const Index3 shape = choice.volume_shape;
  Index3 block;
  for (int axis = 1; axis < 3; ++axis) {
    if (shape[axis] <= kWholeSection) {
      block[axis] = round_up(shape[axis], output_chunk[axis]);
      continue;
    }
    const std::int64_t step = std::lcm(output_chunk[axis], choice.alignment);
    block[axis] = std::max(step, round_down(kWide, step));
  }
  // As deep as the chunks of both volumes (up to a limit), so that no chunk is read for two blocks.
  const std::int64_t input_depth = choice.input_chunk ? std::min(choice.input_chunk->z, shape.z) : 1;
  std::int64_t depth = std::lcm(output_chunk.z, input_depth);
  if (depth > 256) depth = output_chunk.z;
  const std::int64_t columns = ceil_div(shape.y, block.y) * ceil_div(shape.x, block.x);
  const std::int64_t layers = ceil_div(shape.z, depth);
  const std::int64_t layer_bytes =
      (block.y + 2 * choice.margin) * (block.x + 2 * choice.margin) * depth * choice.voxel_bytes;
  constexpr std::int64_t kBlockBytes = std::int64_t{1} << 30;
  const std::int64_t deepest =
      std::max<std::int64_t>(1, kBlockBytes / std::max<std::int64_t>(1, layer_bytes));
  // Blocks of one layer would also read each chunk of the layers above and below for their context.
  const std::int64_t for_context = choice.context > 0 && depth > 1 ? 4 : 1;
  const std::int64_t wanted = std::max(for_context, layers * columns / kManyBlocks);
  block.z = depth * std::min(wanted, deepest);
  return block;
}

void require_fitting_block(const Index3& block, const Index3& output_chunk, const BlockChoice& choice) {
  for (int axis = 0; axis < 3; ++axis) {
    if (block[axis] >= choice.volume_shape[axis]) continue;
    const std::int64_t alignment = axis == 0 ? 1 : choice.alignment;
    const std::int64_t step = std::lcm(output_chunk[axis], alignment);
    if (block[axis] < 1 || block[axis] % step != 0) {
      throw UsageError(
          fmt::format("a block of {} does not fit: along {} it must be a multiple of {} (chunk {}, network "
                      "alignment {}) or span "
                      "the volume",
                      to_string(block), "zyx"[axis], step, output_chunk[axis], alignment));
    }
  }
}

}  // namespace tessera
