#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// The properties of a result that is to be created, as of an inference.
struct OutputVolumeSpec {
  DatasetName name;
  VoxelType type = VoxelType::uint8;
  Index3 shape;
  std::int64_t channels = 1;  ///< 1: (z, y, x); more: (channel, z, y, x), with chunks of one channel
  Index3 chunk;               ///< sides from 1 to those of the shape; chunks at the edge have full size
  std::vector<double> resolution_nm, offset_nm;  ///< (z, y, x) or empty
  std::map<std::string, std::string> attributes;
  /// Linked beside the result as /volumes/raw, unless it is in the result's file or that name exists.
  std::optional<DatasetName> raw;
};

/// The positions of a result's chunks in its file: the chunk of channel c at grid position (i, j, k) starts
/// at byte base + row_major(c, i, j, k) * chunk_bytes(). With it, every rank writes blocks without a question
/// to the file.
struct OutputLayout {
  std::int64_t base = 0;  ///< byte offset of the first chunk
  VoxelType type = VoxelType::uint8;
  Index3 shape, chunk;
  std::int64_t channels = 1;
  /// Bytes at offset `mark_at` that no other result's file has there: a writer compares them before it
  /// writes. Empty: not compared.
  std::string mark = {};
  std::int64_t mark_at = 0;

  std::int64_t chunk_bytes() const { return volume_of(chunk) * size_of(type); }
  /// The number of chunks along each axis.
  Index3 grid() const;
  std::int64_t chunk_offset(const Index3& grid_position, std::int64_t channel = 0) const;
};

}  // namespace tessera
