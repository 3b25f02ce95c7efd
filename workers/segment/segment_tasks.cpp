#include "workers/segment/segment_tasks.h"

#include <fmt/format.h>

#include <utility>

#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/graph/block_graph_file.h"
#include "io/stores/open_volume.h"
#include "workers/blocks/computed_block.h"
#include "workers/segment/relabelling.h"

namespace tessera {
namespace {

struct FinishedGraph : BlockTask::Input {
  std::int64_t id = 0;
  BlockGraph graph;
};

struct RelabelledBlock : BlockTask::Input {
  std::int64_t id = 0;
  VoxelBuffer voxels;
};

}  // namespace

std::unique_ptr<BlockTask::Pending> BlockGraphTask::compute(std::unique_ptr<Input> input,
                                                            const Progress& progress) {
  const auto& voxels = static_cast<const SegmentVoxels&>(*input);
  auto finished = std::make_unique<FinishedGraph>();
  finished->id = voxels.id;
  finished->graph = find_pieces(job_, voxels).graph(job_);
  progress(finished->graph.box.voxels());
  return std::make_unique<ComputedBlock>(std::move(finished));
}

BlockReport BlockGraphTask::write(std::unique_ptr<Input> input) {
  const auto& finished = static_cast<const FinishedGraph&>(*input);
  BlockReport report;
  report.id = finished.id;
  report.voxels = finished.graph.box.voxels();
  report.crc = write_block_graph(block_graph_file(job_.folder, finished.id), finished.graph);
  return report;
}

std::vector<std::uint64_t> BlockRelabeller::ids_of_pieces(std::int64_t block, const BlockPieces& pieces) {
  if (!tables_) {
    try {
      tables_.emplace(file_);
    } catch (const std::exception& error) {
      throw WholeJobError(message_of(error));
    }
  }
  const BlockGraph graph = read_block_graph(block_graph_file(job_.folder, block)).graph;
  if (graph.cluster_of_piece.size() != pieces.name.size() || graph.piece_crc != pieces.crc()) {
    throw WholeJobError(fmt::format(
        "block {} has other pieces than in the first pass: {}{} has changed since. Remove {}, and "
        "start again with --restart when nothing writes it",
        block, job_.prediction.text(), job_.mask ? " or the mask" : "", job_.folder.string()));
  }
  const std::vector<std::uint64_t> ids = tables_->read(block);
  std::vector<std::uint64_t> of_piece(pieces.name.size());
  for (std::size_t i = 0; i < of_piece.size(); ++i)
    of_piece[i] = ids.at(graph.cluster_of_piece[i]);
  return of_piece;
}

VoxelBuffer BlockRelabeller::relabelled(const SegmentVoxels& voxels) {
  const FoundPieces found = find_pieces(job_, voxels);
  return relabelled_block(found.box, found.pieces, ids_of_pieces(voxels.id, found.pieces),
                          found.weights ? &*found.weights : nullptr, job_.background_below, type_);
}

std::unique_ptr<BlockTask::Pending> RelabelTask::compute(std::unique_ptr<Input> input,
                                                         const Progress& progress) {
  const auto& voxels = static_cast<const SegmentVoxels&>(*input);
  auto finished = std::make_unique<RelabelledBlock>();
  finished->id = voxels.id;
  finished->voxels = relabeller_.relabelled(voxels);
  progress(volume_of(finished->voxels.shape));
  return std::make_unique<ComputedBlock>(std::move(finished));
}

BlockReport RelabelTask::write(std::unique_ptr<Input> input) {
  const auto& finished = static_cast<const RelabelledBlock&>(*input);
  if (!writer_) writer_ = open_volume_writer(job_.output, job_.layout);
  const Box box = job_.blocks.block(finished.id);
  BlockReport report;
  report.id = finished.id;
  report.voxels = box.voxels();
  report.crc = writer_->write(box, finished.voxels);
  writer_->sync();
  return report;
}

}  // namespace tessera
