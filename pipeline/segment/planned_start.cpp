#include "pipeline/segment/planned_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "io/stores/open_volume.h"
#include "pipeline/run/prediction_meaning.h"
#include "pipeline/run/segmentation_files.h"
#include "pipeline/run/volume_look_up.h"
#include "pipeline/segment/chosen_threshold.h"
#include "pipeline/segment/first_pass.h"
#include "pipeline/segment/tree_cut.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// Collective. Takes the thresholds and the blocks of the run that the cut equals.
void plan_cut(PlannedStart& planned) {
  SegmentConfig& segment = planned.segment;
  SegmentationPlan& plan = planned.plan;
  const Communicator& world = planned.world;
  std::vector<double> thresholds;
  Index3 block = plan.blocks.block_shape();
  on_root(world, [&] {
    if (plan.components)
      throw UsageError("--cut: connected components have no tree of merges: set segment.threshold");
    const std::filesystem::path& output = segment.output->file;
    const JournalHead first =
        finished_first_pass(graph_folder_of(output), describe_first_pass(segment, plan, planned.inputs)).head;
    require_supervoxel_tables(graph_folder_of(output) / "tables.supervoxels", first_pass_digest(first));
    const StoredGraph graph(graph_file_of(output), first.instance);
    thresholds = thresholds_of_cut(graph, segment, plan.mode, *planned.start.cut);
    segment.thresholds = thresholds;
    require_same_tree(graph, describe_segmentation(segment, plan, planned.inputs));
    block = first.blocks.block_shape();
    for (int axis = 0; axis < 3; ++axis) {
      if (block[axis] < plan.region.shape()[axis] && block[axis] % plan.chunk[axis] != 0) {
        throw UsageError(fmt::format(
            "segment.chunk: {} does not divide the blocks of the tree, {}: change it, or leave it out",
            to_string(plan.chunk), to_string(block)));
      }
    }
  });
  auto count = static_cast<std::int64_t>(thresholds.size());
  world.broadcast(std::as_writable_bytes(std::span(&count, 1)));
  thresholds.resize(static_cast<std::size_t>(count));
  world.broadcast(std::as_writable_bytes(std::span(thresholds)));
  world.broadcast(std::as_writable_bytes(std::span(&block, 1)));
  segment.thresholds = thresholds;
  segment.threshold = thresholds.back();
  on_every_rank(world, [&] { plan = plan_segmentation(segment, planned.inputs); });
  plan.blocks = BlockPlan(plan.region.shape(), block);
}

/// Collective. Errors: UsageError when a worker lacks memory for a block.
void require_block_memory(const PlannedStart& planned) {
  on_every_rank(planned.world, [&] {
    const std::int64_t needed = planned.plan.memory_per_worker(size_of(planned.inputs.prediction.type));
    const std::int64_t budget = planned.segment.memory_budget;
    const std::int64_t available = budget > 0 ? budget : available_memory(planned.start.device);
    if (planned.is_worker() && needed > available) {
      throw UsageError(fmt::format(
          "a worker needs about {} for a block of {}, but {} are available to each: set a smaller "
          "segment.block, or start fewer workers per node",
          bytes_text(needed), to_string(planned.plan.blocks.block_shape()), bytes_text(available)));
    }
  });
}

/// Warns when a volume that does not say what it holds looks like ids.
void doubt_ids(const PlannedStart& planned) {
  const VolumeInfo& prediction = planned.inputs.prediction;
  if (planned.segment.of_labels || meaning_of(prediction).values != PredictionMeaning::Values::unknown)
    return;
  constexpr std::int64_t kSide = 512;
  const Box& region = planned.plan.region;
  const Index3 end = region.end;
  const Index3 begin{(region.begin.z + end.z) / 2, std::max(region.begin.y, end.y - kSide),
                     std::max(region.begin.x, end.x - kSide)};
  const VoxelBuffer voxels = open_volume(prediction.name)->read({begin, {begin.z + 1, end.y, end.x}});
  if (!looks_like_ids(voxels)) return;
  spdlog::warn(
      "segment.prediction: {} looks like ids or classes, not like a probability: set "
      "segment.method: components and segment.components_of: labels for ids",
      prediction.name.text());
}

/// Warns when the threshold is chosen on sections that are scored.
void doubt_choice(const PlannedStart& planned) {
  const auto& scored = planned.config.evaluate.sections;
  const SegmentConfig& segment = planned.segment;
  if (segment.choose == ThresholdChoice::none || !scored) return;
  const Sections& chosen = *segment.choose_sections;
  if (chosen.begin >= scored->end || scored->begin >= chosen.end) return;
  spdlog::warn(
      "segment.choose_sections: {}:{} share sections with evaluate.sections, {}:{}: scores on them are too "
      "good. Choose on others",
      chosen.begin, chosen.end, scored->begin, scored->end);
}

}  // namespace

PlannedStart plan_start(const ExperimentConfig& config, const SegmentationStart& start,
                        const Communicator& world) {
  PlannedStart planned{config, start, world, config.segment, {}, {}};
  SegmentConfig& segment = planned.segment;
  planned.inputs.prediction = look_up_volume(*segment.prediction, world);
  if (segment.mask) planned.inputs.mask = look_up_volume(*segment.mask, world);
  if (start.cut) {
    segment.choose = ThresholdChoice::none;
    segment.supervoxels = false;  // they stay as they are
  }
  if (segment.choose != ThresholdChoice::none)
    planned.inputs.choose_labels = look_up_volume(*segment.choose_labels, world);
  on_every_rank(world, [&] { planned.plan = plan_segmentation(segment, planned.inputs); });
  if (start.cut) plan_cut(planned);
  require_block_memory(planned);
  on_root(world, [&] {
    if (segment.choose != ThresholdChoice::none) scored_box(segment, planned.plan.region);
  });
  return planned;
}

void warn_of(const PlannedStart& planned) {
  doubt_ids(planned);
  doubt_choice(planned);
}

}  // namespace tessera
