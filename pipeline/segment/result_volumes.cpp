#include "pipeline/segment/result_volumes.h"
#include "pipeline/run/prediction_meaning.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "io/base/log.h"
#include "io/base/sha256.h"
#include "io/hdf5/output_volume.h"
#include "pipeline/blocks/input_files.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/segmentation_files.h"
#include "pipeline/segment/tree_cut.h"

namespace tessera {
namespace {

/// The prediction's offset, moved to the region's begin.
std::vector<double> offset_of_region(const SegmentationPlan& plan, const VolumeInfo& prediction) {
  if (plan.region == Box::of_shape(prediction.shape)) return prediction.offset_nm;
  std::vector<double> offset =
      prediction.offset_nm.size() == 3 ? prediction.offset_nm : std::vector<double>(3, 0.0);
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    const double voxel = prediction.resolution_nm.size() == 3 ? prediction.resolution_nm[at] : 1.0;
    offset[at] += static_cast<double>(plan.region.begin[axis]) * voxel;
  }
  return offset;
}

/// A cut replaces the result of another cut, or of the run that made the tree.
bool replaces_cut(const IdVolume& objects) {
  const std::optional<JournalContents> earlier = objects.earlier_journal();
  return earlier && !differences_between(earlier->head.job, objects.job).empty() &&
         are_of_one_tree(earlier->head.job, objects.job);
}

bool replaces(const PlannedStart& planned, const IdVolume& objects) {
  const SegmentationStart& start = planned.start;
  return start.restart || (start.cut && replaces_cut(objects)) ||
         (start.update && objects.is_outdated(planned.config.name));
}

/// A job that goes on keeps its blocks.
void keep_blocks(const std::optional<BlockPlan>& earlier, SegmentationPlan& plan) {
  if (!earlier || earlier->region() != plan.blocks.region() ||
      earlier->block_shape() == plan.blocks.block_shape())
    return;
  spdlog::info("going on with blocks of {}, as begun", to_string(earlier->block_shape()));
  plan.blocks = *earlier;
}

std::string threshold_text(const SegmentConfig& segment) {
  if (segment.choose == ThresholdChoice::none) return fmt::format("{}", segment.threshold);
  return fmt::format("chosen by {} on sections {}:{} of {}", name_of(segment.choose),
                     segment.choose_sections->begin, segment.choose_sections->end,
                     segment.choose_labels->text());
}

/// Errors: UsageError where the file holds an input.
void require_no_input(const DatasetName& output, const SegmentationInputs& inputs) {
  std::vector<std::pair<const VolumeInfo*, std::string>> read{{&inputs.prediction, "prediction"}};
  if (inputs.mask) read.emplace_back(&*inputs.mask, "mask");
  require_own_file(output.file, "segment.output", read);
}

/// What the volumes of objects and of supervoxels have in common.
OutputVolumeSpec common_spec(const PlannedStart& planned) {
  const ExperimentConfig& config = planned.config;
  const SegmentConfig& segment = planned.segment;
  OutputVolumeSpec spec;
  spec.shape = planned.plan.region.shape();
  spec.chunk = planned.plan.chunk;
  spec.resolution_nm = planned.inputs.prediction.resolution_nm;
  spec.offset_nm = offset_of_region(planned.plan, planned.inputs.prediction);
  const auto& predicted = config.infer.output;
  if (config.infer.raw && predicted && predicted->text() == segment.prediction->text())
    spec.raw = config.infer.raw;
  spec.attributes = {{"tessera_version", tessera_version()},
                     {"experiment", config.name},
                     {"prediction", segment.prediction->text()},
                     {"config", config.resolved_yaml}};
  return spec;
}

}  // namespace

IdVolume find_objects(PlannedStart& planned) {
  const DatasetName& output = *planned.segment.output;
  IdVolume objects(output, "segment.output");
  require_no_input(output, planned.inputs);
  warn_of(planned);
  objects.job = describe_segmentation(planned.segment, planned.plan, planned.inputs);
  const bool replace = replaces(planned, objects);
  if (!planned.start.cut && !replace) keep_blocks(objects.earlier_blocks(), planned.plan);
  objects.find(planned.plan.blocks, replace);
  return objects;
}

std::optional<IdVolume> find_supervoxels(const PlannedStart& planned) {
  if (!planned.plan.supervoxels) return std::nullopt;
  const DatasetName output = supervoxels_of(planned.segment.output->file);
  std::optional<IdVolume> supervoxels(std::in_place, output, "segment.output");
  require_no_input(output, planned.inputs);
  supervoxels->job = describe_supervoxels(planned.segment, planned.plan, planned.inputs);
  const BlockPlan& blocks = planned.plan.blocks;
  bool replace =
      planned.start.restart || (planned.start.update && supervoxels->is_outdated(planned.config.name));
  const std::optional<JournalContents> earlier = supervoxels->earlier_journal();
  const bool same_job = earlier && differences_between(earlier->head.job, supervoxels->job).empty();
  if (!replace && same_job && earlier->head.blocks.block_shape() != blocks.block_shape()) {
    if (earlier->blocks_left() == 0) {
      supervoxels->find(earlier->head.blocks, false);
      return supervoxels;
    }
    replace = true;  // the graph files have other blocks
  }
  supervoxels->find(blocks, replace);
  return supervoxels;
}

OutputVolumeSpec objects_spec(const PlannedStart& planned) {
  OutputVolumeSpec spec = common_spec(planned);
  spec.name = *planned.segment.output;
  spec.type = planned.plan.type();
  spec.attributes["meaning"] = "ids of objects; 0: none";
  spec.attributes["threshold"] = threshold_text(planned.segment);
  spec.attributes["objects"] = kKnownLater + random_hex(16);
  if (planned.plan.components && planned.plan.components->within_sections())
    spec.attributes[kObjectsWithin] = kWithinSections;
  if (planned.start.cut) spec.attributes["cut"] = fmt::format("{}", *planned.start.cut);
  return spec;
}

OutputVolumeSpec supervoxels_spec(const PlannedStart& planned) {
  OutputVolumeSpec spec = common_spec(planned);
  spec.name = supervoxels_of(planned.segment.output->file);
  spec.type = VoxelType::uint64;
  spec.attributes["meaning"] = kSupervoxelMeaning;
  spec.attributes["supervoxels"] = kKnownLater + random_hex(16);
  return spec;
}

}  // namespace tessera
