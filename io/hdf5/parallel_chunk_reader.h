#pragma once

#include <hdf5.h>

#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/hdf5/chunk_decoder.h"

namespace tessera {

/// How a dataset's chunks lie.
struct ChunkLayout {
  int rank = 3;  ///< of the dataset: 2 to 4
  Index3 shape, chunk;
  std::int64_t channels = 1, chunk_channels = 1;
  VoxelType type = VoxelType::uint8;
};

/// Reads boxes of a chunked dataset as the HDF5 library would, but unpacks the chunks on threads of its own:
/// the calling thread, the one that makes HDF5 calls, only fetches the stored bytes (H5Dread_chunk).
class ParallelChunkReader {
 public:
  /// Whether the dataset's values are stored as they are in memory, under filters that are known here.
  static bool can_read(hid_t dataset, VoxelType memory_type);
  ParallelChunkReader(hid_t dataset, const ChunkLayout& layout, int threads);

  /// Fills `buffer`, which has the shape of `box` and the layout's channels and type. False when a chunk is
  /// not stored (it shows the fill value): the library knows what to do. Errors: Error naming the chunk.
  bool read(const Box& box, VoxelBuffer& buffer);

 private:
  struct StoredChunk {
    Index3 begin;  ///< voxels
    std::int64_t channel = 0;
    std::uint32_t skipped_filters = 0;
    std::vector<std::byte> bytes;
  };
  class Unpackers;
  bool fetch(StoredChunk& chunk);
  void unpack(StoredChunk chunk, const Box& box, VoxelBuffer& buffer) const;

  hid_t dataset_;
  ChunkLayout layout_;
  ChunkDecoder decoder_;
  int threads_;
};

}  // namespace tessera
