#include "pipeline/infer/inference_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/geometry/axis_order.h"

namespace tessera {
namespace {

/// The budget for the activations of one tile, when the experiment sets none. It is independent of the
/// available memory. Otherwise the tiles, and with them the result's bytes, would depend on the number of
/// ranks per node.
constexpr std::int64_t kAutomaticBudget = std::int64_t{2} << 30;
/// The budget on a GPU. It fits the largest tile that LibTorch can address, with the paper's 64 filters in
/// bfloat16. A GPU with less memory uses most of that memory.
constexpr std::int64_t kAutomaticGpuBudget = std::int64_t{12} << 30;

std::int64_t automatic_budget(const Device& device) {
  if (!device.cuda) return kAutomaticBudget;
  return device.memory > 0 ? std::min(kAutomaticGpuBudget, device.memory / 10 * 7) : kAutomaticGpuBudget;
}

std::int64_t chunks_touched(const Box& box, const Index3& chunk) {
  std::int64_t count = 1;
  for (int axis = 0; axis < 3; ++axis)
    count *= ceil_div(box.end[axis], chunk[axis]) - box.begin[axis] / chunk[axis];
  return count;
}

/// The region to predict. Errors: UsageError.
Box region_of(const InferConfig& config, const Index3& shape) {
  Box region = Box::of_shape(shape);
  if (config.region_begin) region.begin = *config.region_begin;
  if (config.region_end) region.end = *config.region_end;
  if (region.empty() || !Box::of_shape(shape).contains(region)) {
    throw UsageError(fmt::format("infer.region: {} is not inside the raw volume, whose shape is {}",
                                 to_string(region), to_string(shape)));
  }
  return region;
}

/// Computes a plan's estimates of memory and reading, from its first blocks.
void measure_blocks(InferencePlan& plan, const TileGrid& tiles, std::int64_t result_bytes) {
  const VolumeInfo& raw = plan.raw;
  const std::int64_t voxel_bytes = raw.channels * size_of(raw.type);
  constexpr std::int64_t kEnough = 4096;  // blocks to sample in the largest volumes
  std::int64_t largest = 0, touched = 0, predicted = 0, computed = 0;
  for (std::int64_t id = 0; id < std::min(plan.blocks.count(), kEnough); ++id) {
    const Box box = plan.blocks.block(id);
    const std::vector<Tile> of_block = tiles.tiles_of(box);
    for (const Tile& tile : of_block)
      computed += tile.input.shape().y * tile.input.shape().x;
    const Box held = raw_box_for(of_block, raw.shape);
    // One block each is read, predicted and written at a time. On a GPU one more is queued.
    const std::int64_t more = plan.demand.cuda ? 1 : 0;
    largest = std::max(largest,
                       (2 + more) * held.voxels() * voxel_bytes + (2 + more) * box.voxels() * result_bytes);
    if (raw.chunk) touched += chunks_touched(held, *raw.chunk);
    predicted += box.voxels();
  }
  plan.block_bytes = largest;
  plan.redundancy = static_cast<double>(computed) / static_cast<double>(predicted);
  if (!raw.chunk) return;
  // Reads per chunk, relative to one read of each chunk that holds predicted voxels.
  const double chunks = static_cast<double>(predicted) / static_cast<double>(volume_of(*raw.chunk));
  const double stored = static_cast<double>(chunks_touched(plan.region, *raw.chunk)) *
                        static_cast<double>(predicted) / static_cast<double>(plan.region.voxels());
  plan.chunk_reads = static_cast<double>(touched) / std::max(chunks, stored);
}

}  // namespace

TileGrid InferencePlan::tiles(const NetworkTraits& network, const Index3& input) const {
  return make_tile_grid(network, raw.shape, input, context, demand);
}

InferencePlan plan_inference(const InferConfig& config, const VolumeInfo& raw, const NetworkTraits& network,
                             const Device& device) {
  if (raw.type == VoxelType::uint32 || raw.type == VoxelType::uint64) {
    throw UsageError(wrong_raw_type_text(raw));
  }
  for (const std::int64_t wanted : config.classes)
    require_class(network, wanted);
  if (config.precision == Precision::float16 && !device.cuda) {
    throw UsageError("precision: float16 needs a CUDA device; on the CPU use float32 or bfloat16");
  }
  InferencePlan plan;
  plan.raw = raw;
  plan.region = region_of(config, raw.shape);
  plan.context = context_sections(network.in_channels, raw.channels);
  plan.demand.precision = config.precision.value_or(device.cuda ? Precision::bfloat16 : Precision::float32);
  plan.demand.cuda = device.cuda;
  plan.demand.budget = config.memory_budget > 0 ? config.memory_budget : automatic_budget(device);
  plan.demand.averaging = config.averaging;
  plan.demand.blend_overlap = config.blending == Blending::crop ? 0 : config.blend_overlap;
  const NetworkGeometry& geometry = network.geometry;
  const Index3 shape = plan.region.shape();
  const std::int64_t result_bytes = config.channels() * size_of(config.type);
  const BlockChoice choice{shape,
                           raw.chunk,
                           geometry.alignment,
                           geometry.margin,
                           raw.channels * size_of(raw.type) + result_bytes,
                           plan.context};
  plan.output_chunk = config.chunk ? *config.chunk : choose_output_chunk(choice);
  for (int axis = 0; axis < 3; ++axis)
    plan.output_chunk[axis] = std::min(plan.output_chunk[axis], shape[axis]);
  const Index3 block = config.block ? *config.block : choose_block_shape(choice, plan.output_chunk);
  require_fitting_block(block, plan.output_chunk, choice);
  plan.blocks = BlockPlan::of_region(plan.region, block);
  if (config.tile) {
    plan.tile_input = *config.tile;
    static_cast<void>(plan.tiles(network));  // reports an illegal side before its memory is checked
    require_tile_fits(network, plan.tile_input, raw.shape, plan.demand);
  } else {
    // Tiles start on the alignment, even if the region does not.
    Index3 span = block;
    for (int axis = 1; axis < 3; ++axis)
      span[axis] += plan.region.begin[axis] % geometry.alignment;
    plan.tile_input = choose_tile(network, span, raw.shape, plan.demand);
  }
  const TileGrid tiles = plan.tiles(network);
  plan.activation_bytes = memory_of_tile(network, plan.tile_input, raw.shape, plan.demand);
  plan.weight_bytes = network.weight_bytes;
  measure_blocks(plan, tiles, result_bytes);
  return plan;
}

std::vector<std::string> shape_doubts(const VolumeInfo& raw, double redundancy) {
  constexpr double kHigh = 4;
  const std::string advice = axis_order_advice(raw.name.text());
  const std::string order = axis_order_doubt(raw.shape);
  if (!order.empty()) return {fmt::format("{}: {}. {}", raw.name.text(), order, advice)};
  if (redundancy <= kHigh) return {};
  return {fmt::format(
      "{}: the plan computes {:.1f} input pixels per output pixel, because sections of {} x {} are "
      "small beside the network's margin. {}",
      raw.name.text(), redundancy, raw.shape.y, raw.shape.x, advice)};
}

std::string plan_text(const InferencePlan& plan, const NetworkTraits& network) {
  const Index3 block = plan.blocks.block_shape();
  const TileGrid tiles = plan.tiles(network);
  std::string text;
  const auto line = [&](const std::string& what, const std::string& value) {
    text += fmt::format("  {:<22} {}\n", what, value);
  };
  line("raw",
       fmt::format("{}, {} {}, {}", plan.raw.name.text(), to_string(plan.raw.shape), name_of(plan.raw.type),
                   plan.raw.chunk ? "chunks " + to_string(*plan.raw.chunk) : "contiguous"));
  if (plan.region != Box::of_shape(plan.raw.shape)) line("region", to_string(plan.region));
  line("result's chunk", to_string(plan.output_chunk));
  line("block", fmt::format("{}, {} blocks", to_string(block), plan.blocks.count()));
  line("tile", fmt::format("input {} x {}, core {} x {}, margin {}", plan.tile_input.y, plan.tile_input.x,
                           tiles.core_shape().y, tiles.core_shape().x, tiles.geometry().margin));
  line("redundancy", fmt::format("{:.2f} input pixels computed per output pixel", plan.redundancy));
  if (plan.raw.chunk)
    line("chunk reads", fmt::format("each stored chunk {:.2f} times on average", plan.chunk_reads));
  line("precision", name_of(plan.demand.precision));
  if (plan.demand.averaging != Averaging::none) {
    line("averaged over", plan.demand.averaging == Averaging::symmetries8 ? "8 symmetries" : "7 rotations");
  }
  if (plan.demand.blend_overlap > 0)
    line("blended over", fmt::format("{} pixels", plan.demand.blend_overlap));
  line("memory per worker",
       fmt::format("{}: {} activations, {} blocks, {} weights", bytes_text(plan.memory_per_worker()),
                   bytes_text(plan.activation_bytes), bytes_text(plan.block_bytes),
                   bytes_text(plan.weight_bytes)));
  return text;
}

}  // namespace tessera
