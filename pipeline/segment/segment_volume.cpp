#include "pipeline/segment/segment_volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <span>

#include "io/base/error.h"
#include "io/base/log.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/segmentation_files.h"
#include "pipeline/segment/first_pass.h"
#include "pipeline/segment/graph_step.h"
#include "pipeline/segment/id_volume.h"
#include "pipeline/segment/planned_start.h"
#include "pipeline/segment/result_volumes.h"
#include "pipeline/segment/segmentation_passes.h"
#include "pipeline/segment/segmentation_record.h"
#include "workers/mpi/agreement.h"
#include "workers/segment/segment_job.h"

namespace tessera {
namespace {

/// Collective. The root's layout on every rank.
void broadcast_layout(OutputLayout& layout, const Communicator& world) {
  world.broadcast(std::as_writable_bytes(std::span(&layout.base, 1)));
  world.broadcast(std::as_writable_bytes(std::span(&layout.mark_at, 1)));
  world.broadcast(layout.mark);
}

/// One start of a segmentation, step by step. Every rank runs the same steps.
class VolumeSegmentation {
 public:
  VolumeSegmentation(const ExperimentConfig& config, const SegmentationStart& start,
                     const Communicator& world)
      : planned_(plan_start(config, start, world)),
        world_(world),
        folder_(config.run_folder),
        record_(folder_.path()) {}

  void run() {
    find();
    if (world_.any(is_complete_)) return;
    open();
    try {
      SegmentationPasses passes(planned_, record_);
      make_object_tables(planned_, job_, objects_ ? objects_->job : JobDescription(), first_.get(), passes,
                         record_);
      on_root(world_, [&] { complete_attributes(); });
      passes.objects(job_, unfinished(objects_));
      if (planned_.plan.supervoxels) passes.supervoxels(supervoxel_job_, unfinished(supervoxels_));
    } catch (const StoppedEarly&) {
      if (world_.is_root()) record_.end_early(RunEnd::stopped);
      throw;
    } catch (const std::exception&) {
      if (world_.is_root()) record_.end_early(RunEnd::failed);
      throw;
    }
    conclude();
  }

 private:
  /// Finds the existing result, if any. A job that goes on keeps its blocks.
  void find() {
    Index3 block = planned_.plan.blocks.block_shape();
    on_root(world_, [&] {
      objects_.emplace(find_objects(planned_));
      supervoxels_ = find_supervoxels(planned_);
      block = planned_.plan.blocks.block_shape();
      is_complete_ = objects_->is_complete() && (!supervoxels_ || supervoxels_->is_complete());
      if (!is_complete_) return;
      complete_record();
      std::cout
          << fmt::format(
                 "every one of the {} blocks is done already: nothing to segment (--restart starts over)\n"
                 "result: {}\n",
                 planned_.plan.blocks.count(), objects_->name().text())
          << std::flush;
    });
    world_.broadcast(std::as_writable_bytes(std::span(&block, 1)));
    planned_.plan.blocks = BlockPlan(planned_.plan.region.shape(), block);
  }

  /// On the root, for a complete result: does what a start that was killed after its last block has left
  /// undone.
  void complete_record() {
    const SegmentConfig& segment = planned_.segment;
    record_.report.result = segment.output->text();
    if (!record_.is_done(record_.report.result)) {
      if (supervoxels_) record_.report.supervoxels = supervoxels_->name().text();
      record_.report.threshold = segment.threshold;
      if (!segment.keep_graph) remove_first_pass(graph_folder_of(segment.output->file));
      record_.complete();
    }
    folder_.remove_left_over();
  }

  /// The volume if it exists and lacks blocks, else null.
  static IdVolume* unfinished(std::optional<IdVolume>& volume) {
    return volume && !volume->is_complete() ? &*volume : nullptr;
  }

  /// On the root. The numbers that the graph has found.
  void complete_attributes() {
    const GraphSums& sums = record_.report.sums;
    if (const IdVolume* objects = unfinished(objects_))
      objects->complete("objects", std::to_string(sums.objects));
    if (const IdVolume* supervoxels = unfinished(supervoxels_))
      supervoxels->complete("supervoxels", std::to_string(sums.fragments));
  }

  /// Creates or opens the volumes and the folder of the graph.
  void open() {
    const SegmentConfig& segment = planned_.segment;
    const SegmentationPlan& plan = planned_.plan;
    job_ = {*segment.prediction,
            segment.mask,
            plan.region,
            plan.blocks,
            plan.graph,
            plan.components,
            plan.background_below,
            graph_folder_of(segment.output->file),
            *segment.output,
            {0, plan.type(), plan.region.shape(), plan.chunk},
            std::clamp(planned_.start.device.threads, 1, 8)};
    supervoxel_job_ = job_;
    supervoxel_job_.output = supervoxels_of(segment.output->file);
    supervoxel_job_.layout.type = VoxelType::uint64;
    supervoxel_job_.background_below = 0;
    on_root(world_, [&] {
      folder_.prepare("segmentation.yaml", planned_.config.resolved_yaml);
      add_log_file(folder_.log());
      if (IdVolume* objects = unfinished(objects_))
        job_.layout = objects->open(objects_spec(planned_), plan.blocks);
      if (IdVolume* supervoxels = unfinished(supervoxels_))
        supervoxel_job_.layout = supervoxels->open(supervoxels_spec(planned_), plan.blocks);
      first_ = std::make_unique<FirstPassFolder>(
          job_.folder, describe_first_pass(segment, plan, planned_.inputs), plan.blocks);
      record_.report.result = segment.output->text();
      if (supervoxels_) record_.report.supervoxels = supervoxels_->name().text();
      record_.report.stages = stages_text(segment, plan);
      record_.report.threshold = segment.threshold;
      spdlog::info("segmenting {}\n{}", segment.prediction->text(), plan_text(plan, planned_.inputs));
    });
    broadcast_layout(job_.layout, world_);
    broadcast_layout(supervoxel_job_.layout, world_);
  }

  void conclude() {
    on_root(world_, [&] {
      if (!planned_.segment.keep_graph) first_->remove();
      record_.report.end = RunEnd::done;
      record_.write();
      std::cout << record_.report.text() << "result: " << record_.report.result << "\n";
      if (supervoxels_) std::cout << "supervoxels: " << record_.report.supervoxels << "\n";
      std::cout << std::flush;
    });
  }

  PlannedStart planned_;
  const Communicator& world_;
  RunFolder folder_;
  SegmentJob job_, supervoxel_job_;
  // On the root only:
  bool is_complete_ = false;  ///< nothing is left to do
  std::optional<IdVolume> objects_, supervoxels_;
  std::unique_ptr<FirstPassFolder> first_;
  SegmentationRecord record_;
};

}  // namespace

void segment_volume(const ExperimentConfig& config, const SegmentationStart& start,
                    const Communicator& world) {
  VolumeSegmentation(config, start, world).run();
}

}  // namespace tessera
