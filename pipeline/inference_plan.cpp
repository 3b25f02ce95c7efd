#include "pipeline/inference_plan.h"

#include <fmt/format.h>

#include "io/durable_file.h"
#include "io/error.h"
#include "workers/infer/inference_worker.h"
#include "workers/infer/tile_choice.h"

namespace tessera {
namespace {

/// Activations of one tile, where the experiment sets no budget. Not taken from the memory found: the tiles,
/// and with them every byte of the result, must not depend on how many ranks share a node.
constexpr std::int64_t kAutomaticBudget = std::int64_t{2} << 30;

std::int64_t chunks_touched(const Box& box, const Index3& chunk) {
  std::int64_t count = 1;
  for (int axis = 0; axis < 3; ++axis) count *= ceil_div(box.end[axis], chunk[axis]) - box.begin[axis] / chunk[axis];
  return count;
}

}  // namespace

TileGrid InferencePlan::tiles(const UNetOptions& network) const {
  return TileGrid(geometry_of(network), raw.shape, tile_input, context);
}

InferencePlan plan_inference(const InferConfig& config, const VolumeInfo& raw, const UNetOptions& network,
                             const Device& device) {
  if (raw.type == VoxelType::uint32 || raw.type == VoxelType::uint64) {
    throw UsageError(fmt::format("{} holds {}: raw volumes are uint8, uint16 or floating point", raw.name.text(),
                                 name_of(raw.type)));
  }
  InferencePlan plan;
  plan.raw = raw;
  plan.context = context_sections(network, raw.channels);
  plan.precision = config.precision.value_or(device.cuda ? Precision::bfloat16 : Precision::float32);
  const std::int64_t value_bytes = plan.precision == Precision::float32 ? 4 : 2;
  const std::int64_t budget = config.memory_budget > 0 ? config.memory_budget : kAutomaticBudget;
  const NetworkGeometry geometry = geometry_of(network);
  const BlockChoice choice{raw.shape, raw.chunk, geometry.alignment, geometry.margin,
                           raw.channels * size_of(raw.type) + size_of(config.type), plan.context};
  plan.output_chunk = config.chunk ? *config.chunk : choose_output_chunk(choice);
  for (int axis = 0; axis < 3; ++axis) plan.output_chunk[axis] = std::min(plan.output_chunk[axis], raw.shape[axis]);
  const Index3 block = config.block ? *config.block : choose_block_shape(choice, plan.output_chunk);
  require_fitting_block(block, plan.output_chunk, choice);
  plan.blocks = BlockPlan(raw.shape, block);
  if (config.tile) {
    plan.tile_input = *config.tile;
    static_cast<void>(plan.tiles(network));  // an illegal side is named before its memory is judged
    require_tile_fits(network, plan.tile_input, budget, value_bytes);
  } else {
    plan.tile_input = choose_tile(network, block, raw.shape, budget, value_bytes);
  }
  const TileGrid tiles = plan.tiles(network);
  plan.redundancy = tiles.redundancy(block);
  Index3 seen = plan.tile_input;
  if (geometry.padding == Padding::same) {
    for (int axis = 1; axis < 3; ++axis) {
      seen[axis] = std::min(seen[axis], round_up(raw.shape[axis], geometry.alignment));
    }
  }
  plan.activation_bytes = inference_memory(network, seen.y, seen.x, value_bytes);
  plan.weight_bytes = parameter_count(network) * 4;

  std::int64_t largest = 0, touched = 0, stored = 1;
  const std::int64_t voxel_bytes = raw.channels * size_of(raw.type);
  for (std::int64_t id = 0; id < plan.blocks.count(); ++id) {
    const Box box = plan.blocks.block(id);
    const Box held = raw_box_for(tiles.tiles_of(box), raw.shape);
    // One block is read, one predicted and one written at a time.
    largest = std::max(largest, 2 * held.voxels() * voxel_bytes + 2 * box.voxels() * size_of(config.type));
    if (raw.chunk) touched += chunks_touched(held, *raw.chunk);
    if (id >= 4096) break;  // enough for the figures of the largest volumes
  }
  plan.block_bytes = largest;
  if (raw.chunk) {
    std::int64_t seen_voxels = 0;
    for (std::int64_t id = 0; id < std::min<std::int64_t>(plan.blocks.count(), 4097); ++id) {
      seen_voxels += plan.blocks.block(id).voxels();
    }
    for (int axis = 0; axis < 3; ++axis) stored *= ceil_div(raw.shape[axis], (*raw.chunk)[axis]);
    const double share = static_cast<double>(seen_voxels) / static_cast<double>(volume_of(raw.shape));
    plan.chunk_reads = static_cast<double>(touched) / (static_cast<double>(stored) * share);
  }
  return plan;
}

std::string plan_text(const InferencePlan& plan, const UNetOptions& network) {
  const Index3 block = plan.blocks.block_shape();
  const TileGrid tiles = plan.tiles(network);
  std::string text;
  const auto line = [&](const std::string& what, const std::string& value) {
    text += fmt::format("  {:<22} {}\n", what, value);
  };
  line("raw", fmt::format("{}, {} {}, {}", plan.raw.name.text(), to_string(plan.raw.shape), name_of(plan.raw.type),
                          plan.raw.chunk ? "chunks " + to_string(*plan.raw.chunk) : "contiguous"));
  line("result's chunk", to_string(plan.output_chunk));
  line("block", fmt::format("{}, {} blocks", to_string(block), plan.blocks.count()));
  line("tile", fmt::format("input {} x {}, core {} x {}, margin {}", plan.tile_input.y, plan.tile_input.x,
                           tiles.core_shape().y, tiles.core_shape().x, tiles.geometry().margin));
  line("redundancy", fmt::format("{:.2f} input pixels computed per output pixel", plan.redundancy));
  if (plan.raw.chunk) line("chunk reads", fmt::format("each stored chunk {:.2f} times on average", plan.chunk_reads));
  line("precision", name_of(plan.precision));
  line("memory per worker", fmt::format("{}: {} activations, {} blocks, {} weights", bytes_text(plan.memory_per_worker()),
                                        bytes_text(plan.activation_bytes), bytes_text(plan.block_bytes),
                                        bytes_text(plan.weight_bytes)));
  return text;
}

}  // namespace tessera
