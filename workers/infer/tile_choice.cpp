#include "workers/infer/tile_choice.h"

#include <fmt/format.h>

#include "io/durable_file.h"
#include "io/error.h"

namespace tessera {
namespace {

/// A tile for a core of this shape, and the input that the network really sees (a 'same' network's is
/// clipped to the section).
struct Candidate {
  Index3 tile, seen;
};

Candidate candidate_for(const NetworkGeometry& geometry, const Index3& core, const Index3& volume_shape) {
  Candidate c{{1, 0, 0}, {1, 0, 0}};
  for (int axis = 1; axis < 3; ++axis) {
    c.tile[axis] = geometry.input_side_for(core[axis]);
    c.seen[axis] = geometry.padding == Padding::valid
                       ? c.tile[axis]
                       : std::min(c.tile[axis], round_up(volume_shape[axis], geometry.alignment));
  }
  return c;
}

bool fits(const UNetOptions& options, const Index3& input, std::int64_t budget, std::int64_t value_bytes) {
  constexpr std::int64_t kMostElements = std::int64_t{1} << 31;  // of one tensor, in LibTorch's kernels
  return 2 * options.base_filters * input.y * input.x < kMostElements &&
         inference_memory(options, input.y, input.x, value_bytes) <= budget;
}

}  // namespace

Index3 choose_tile(const UNetOptions& options, const Index3& block_shape, const Index3& volume_shape,
                   std::int64_t budget, std::int64_t value_bytes) {
  const NetworkGeometry geometry = geometry_of(options);
  Index3 pieces{1, 1, 1};
  for (;;) {
    Index3 core{1, 0, 0};
    for (int axis = 1; axis < 3; ++axis) {
      core[axis] = round_up(ceil_div(std::min(block_shape[axis], volume_shape[axis]), pieces[axis]), geometry.alignment);
    }
    const Candidate candidate = candidate_for(geometry, core, volume_shape);
    if (fits(options, candidate.seen, budget, value_bytes)) return candidate.tile;
    if (core.y == geometry.alignment && core.x == geometry.alignment) {
      throw UsageError(fmt::format(
          "the network does not fit the memory: its smallest tile, {} x {} pixels, needs {}, the budget is {}: lower "
          "model.base_filters or model.depth, raise infer.memory_budget_mib, or give each rank more memory",
          candidate.seen.y, candidate.seen.x,
          bytes_text(inference_memory(options, candidate.seen.y, candidate.seen.x, value_bytes)), bytes_text(budget)));
    }
    ++(core.y >= core.x ? pieces.y : pieces.x);
  }
}

void require_tile_fits(const UNetOptions& options, const Index3& tile, std::int64_t budget, std::int64_t value_bytes) {
  if (fits(options, tile, budget, value_bytes)) return;
  throw UsageError(fmt::format("infer.tile: {} x {} pixels need {}, the budget is {}: lower infer.tile (or set it to auto), "
                               "raise infer.memory_budget_mib, or give each rank more memory",
                               tile.y, tile.x, bytes_text(inference_memory(options, tile.y, tile.x, value_bytes)),
                               bytes_text(budget)));
}

}  // namespace tessera
