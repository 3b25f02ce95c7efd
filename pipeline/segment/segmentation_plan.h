#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/block_plan.h"
#include "io/volume/block_journal.h"
#include "io/volume/volume.h"
#include "pipeline/config/segment_config.h"
#include "workers/segment/segment_job.h"

namespace tessera {

/// The volumes that a segmentation reads.
struct SegmentationInputs {
  VolumeInfo prediction;
  std::optional<VolumeInfo> mask{}, choose_labels{};
};

/// The plan of a segmentation. It does not depend on the number of ranks.
struct SegmentationPlan {
  Box region;  ///< of the prediction; the result has its shape
  SegmentMode mode = SegmentMode::volume;
  std::int64_t channels = 1;      ///< of the prediction
  std::vector<Index3> offsets{};  ///< of the channels of affinities
  Index3 chunk;                   ///< of the result
  BlockPlan blocks;               ///< of the region, in its own coordinates
  BlockGraphOptions graph;
  std::optional<ComponentOptions> components;
  MergeOptions merge;
  std::int32_t background_below = 0;  ///< a weight
  bool supervoxels = false;           ///< whether they become a volume, too

  VoxelType type() const { return merge.compact_ids ? VoxelType::uint32 : VoxelType::uint64; }
  /// Bytes of a worker while it computes one block, reads the next and writes the last.
  std::int64_t memory_per_worker(std::int64_t voxel_bytes) const;
};

/// Errors: UsageError for inputs that cannot be segmented, and for a region, block or chunk that does not
/// fit.
SegmentationPlan plan_segmentation(const SegmentConfig& config, const SegmentationInputs& inputs);

/// The plan as text, one fact per line.
std::string plan_text(const SegmentationPlan& plan, const SegmentationInputs& inputs);

/// In the job of a first pass whose files have histograms.
inline constexpr const char* kHistogramsOfJob = "segment.histograms";
/// What the graph files of the blocks depend on.
JobDescription describe_first_pass(const SegmentConfig& config, const SegmentationPlan& plan,
                                   const SegmentationInputs& inputs);
/// How a first pass differs from the one that is needed. Histograms that nobody needs are no difference.
std::vector<std::string> first_pass_differences(JobDescription then, const JobDescription& now);
/// What the volume of supervoxels depends on.
JobDescription describe_supervoxels(const SegmentConfig& config, const SegmentationPlan& plan,
                                    const SegmentationInputs& inputs);
/// What the result depends on.
JobDescription describe_segmentation(const SegmentConfig& config, const SegmentationPlan& plan,
                                     const SegmentationInputs& inputs);
/// The stages as JSON: [["mean", 0.95], ["link"], ["small"]].
std::string stages_text(const SegmentConfig& config, const SegmentationPlan& plan);

}  // namespace tessera
