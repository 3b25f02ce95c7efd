#include "workers/segment/segment_job.h"

#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/stores/open_volume.h"
#include "workers/segment/block_graph_builder.h"

namespace tessera {
namespace {

/// One call reads a block, and reads each chunk once, so the chunk cache may be small.
constexpr std::size_t kSegmentChunkCache = std::size_t{1} << 20;

}  // namespace

void SegmentReader::open() {
  if (prediction_) return;
  try {
    const ReadOptions options{kSegmentChunkCache, job_.unpack_threads};
    const bool labels = job_.components && !job_.components->threshold;
    prediction_ = labels ? open_labels(job_.prediction, options) : open_volume(job_.prediction, options);
    if (job_.mask) mask_ = open_labels(*job_.mask, options);
  } catch (const std::exception& error) {
    throw WholeJobError(message_of(error));  // every other block would fail, too
  }
}

std::unique_ptr<SegmentVoxels> SegmentReader::read(std::int64_t block) {
  open();
  const Box own = job_.blocks.block(block), all = job_.blocks.region();
  const Box box = job_.components ? own : box_to_read(own, all.shape(), job_.graph);
  const Box in_volume{box.begin + job_.region.begin, box.end + job_.region.begin};
  auto voxels = std::make_unique<SegmentVoxels>();
  voxels->id = block;
  voxels->values = prediction_->read(in_volume);
  if (mask_) voxels->mask = mask_->read(in_volume);
  return voxels;
}

FoundPieces find_pieces(const SegmentJob& job, const SegmentVoxels& voxels) {
  FoundPieces found;
  found.box = job.blocks.block(voxels.id);
  const VoxelBuffer* mask = voxels.mask ? &*voxels.mask : nullptr;
  const Index3 shape = job.blocks.region().shape();
  if (job.components) {
    found.values = component_values(voxels.values, mask, found.box, job.region.begin, *job.components);
    found.pieces = find_component_pieces(found.values, found.box, shape, *job.components);
  } else {
    found.weights = block_weights(voxels.values, mask, found.box, shape, job.region.begin, job.graph);
    found.pieces = find_basin_pieces(*found.weights, job.graph);
  }
  return found;
}

BlockGraph FoundPieces::graph(const SegmentJob& job) const {
  return weights ? build_block_graph(*weights, pieces, job.graph)
                 : build_component_graph(values, pieces, box, job.blocks.region().shape());
}

}  // namespace tessera
