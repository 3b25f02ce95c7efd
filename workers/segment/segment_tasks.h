#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "io/graph/object_table_file.h"
#include "workers/blocks/block_task.h"
#include "workers/segment/segment_job.h"

namespace tessera {

/// The first pass over the blocks: writes the graph file of each. A report's CRC is that of the file.
class BlockGraphTask : public BlockTask {
 public:
  /// `job` must outlive the task.
  explicit BlockGraphTask(const SegmentJob& job) : job_(job), reader_(job) {}
  std::unique_ptr<Input> read(std::int64_t block) override { return reader_.read(block); }
  std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) override;
  BlockReport write(std::unique_ptr<Input> input) override;

 private:
  const SegmentJob& job_;
  SegmentReader reader_;
};

/// Gives the voxels of a block the ids that a table has for its clusters.
class BlockRelabeller {
 public:
  /// `tables`: of objects or of supervoxels. `job` must outlive this.
  BlockRelabeller(const SegmentJob& job, std::filesystem::path tables, VoxelType type)
      : job_(job), file_(std::move(tables)), type_(type) {}
  /// Finds the pieces again. Errors: Error; WholeJobError when they differ from those of the first pass, or
  /// the tables cannot be read.
  VoxelBuffer relabelled(const SegmentVoxels& voxels);

 private:
  std::vector<std::uint64_t> ids_of_pieces(std::int64_t block, const BlockPieces& pieces);

  const SegmentJob& job_;
  std::filesystem::path file_;
  VoxelType type_;
  std::optional<ObjectTables> tables_;
};

/// A later pass: finds the pieces again, and writes the ids of their objects or of their supervoxels.
class RelabelTask : public BlockTask {
 public:
  /// `tables`: of the ids that the job's output gets. `job` must outlive the task.
  RelabelTask(const SegmentJob& job, std::filesystem::path tables)
      : job_(job), reader_(job), relabeller_(job, std::move(tables), job.layout.type) {}
  std::unique_ptr<Input> read(std::int64_t block) override { return reader_.read(block); }
  std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) override;
  BlockReport write(std::unique_ptr<Input> input) override;

 private:
  const SegmentJob& job_;
  SegmentReader reader_;
  BlockRelabeller relabeller_;
  std::unique_ptr<VolumeWriter> writer_;
};

}  // namespace tessera
