#pragma once

#include <hdf5.h>

#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/hdf5/chunk_decoder.h"

namespace tessera {

/// The chunk grid of a dataset.
struct ChunkLayout {
  int rank = 3;  ///< of the dataset: 2 to 4
  Index3 shape, chunk;
  std::int64_t channels = 1, chunk_channels = 1;
  VoxelType type = VoxelType::uint8;
};

/// Reads boxes of a chunked dataset like the HDF5 library, but decompresses the chunks on several threads.
/// The calling thread makes all HDF5 calls and only reads the stored bytes (H5Dread_chunk).
class ParallelChunkReader {
 public:
  /// Whether the dataset's values have their type in memory, and all its filters are known here.
  static bool can_read(hid_t dataset, VoxelType memory_type);
  ParallelChunkReader(hid_t dataset, const ChunkLayout& layout, int threads);

  /// Fills `buffer`, which has the shape of `box` and the layout's channels and type. Returns false when a
  /// chunk is not stored (it has the fill value): then the library must read the box. Errors: Error with the
  /// chunk's position.
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
