#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "io/geometry/block_plan.h"
#include "io/volume/dataset_name.h"
#include "io/volume/output_layout.h"
#include "io/volume/volume.h"
#include "workers/blocks/block_task.h"
#include "workers/segment/block_components.h"
#include "workers/segment/block_pieces.h"
#include "workers/segment/block_weights.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// Everything that a worker needs to segment blocks. The same on every rank.
struct SegmentJob {
  DatasetName prediction;
  std::optional<DatasetName> mask;
  Box region;        ///< of the prediction
  BlockPlan blocks;  ///< of the region, in its own coordinates
  BlockGraphOptions graph;
  std::optional<ComponentOptions> components;  ///< in place of basins
  std::int32_t background_below = 0;           ///< a weight
  std::filesystem::path folder;                ///< of the graph files
  DatasetName output;
  OutputLayout layout;  ///< of the output
  int unpack_threads = 0;

  std::filesystem::path tables() const { return folder / "tables"; }
  /// In the format of tables(): the supervoxels that clusters are part of.
  std::filesystem::path supervoxel_tables() const { return folder / "tables.supervoxels"; }
};

/// A block's voxels: the values and the mask that its pieces depend on.
struct SegmentVoxels : BlockTask::Input {
  std::int64_t id = 0;
  VoxelBuffer values;
  std::optional<VoxelBuffer> mask;
};

/// Reads blocks. HDF5 needs all calls of a process on one thread.
class SegmentReader {
 public:
  explicit SegmentReader(const SegmentJob& job) : job_(job) {}
  /// Errors: Error; WholeJobError when a volume cannot be opened.
  std::unique_ptr<SegmentVoxels> read(std::int64_t block);

 private:
  void open();

  const SegmentJob& job_;
  std::unique_ptr<Volume> prediction_, mask_;
};

/// The pieces of a block, and what they were found in.
struct FoundPieces {
  Box box;
  std::optional<BlockWeights> weights;  ///< of basins
  std::vector<std::uint64_t> values;    ///< of components
  BlockPieces pieces;

  BlockGraph graph(const SegmentJob& job) const;
};
/// Errors: WholeJobError for a value that is no probability.
FoundPieces find_pieces(const SegmentJob& job, const SegmentVoxels& voxels);

}  // namespace tessera
