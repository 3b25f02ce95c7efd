#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/base/durable_file.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// What the result of an inference is to be.
struct OutputVolumeSpec {
  DatasetName name;
  VoxelType type = VoxelType::uint8;
  Index3 shape;
  std::int64_t channels = 1;  ///< 1: (z, y, x); more: (channel, z, y, x), chunks of one channel
  Index3 chunk;               ///< sides from 1 to those of the shape; edge chunks are stored at full size
  std::vector<double> resolution_nm, offset_nm;  ///< (z, y, x) or empty
  std::map<std::string, std::string> attributes;
  /// Linked beside the result as /volumes/raw, unless the result's file holds it or that name is taken.
  std::optional<DatasetName> raw;
};

/// Where the chunks of a result lie in its file: the chunk of channel c and grid position (i, j, k) starts at
/// base + row_major(c, i, j, k) * chunk_bytes. All that a rank needs to write blocks.
struct OutputLayout {
  std::int64_t base = 0;
  VoxelType type = VoxelType::uint8;
  Index3 shape, chunk;
  std::int64_t channels = 1;

  std::int64_t chunk_bytes() const { return volume_of(chunk) * size_of(type); }
  /// The number of chunks along each axis.
  Index3 grid() const;
  std::int64_t chunk_offset(const Index3& grid_position, std::int64_t channel = 0) const;
};

/// Creates the result's file: one process, serial library, written aside, every byte of it reserved on the
/// disk, put in place by a rename. Afterwards nothing opens it for writing through HDF5: blocks go in by
/// `BlockWriter`, so no kill at any instant can harm what is written (design, section 8).
/// Errors: Error (no room, no permission, ...).
OutputLayout create_output_volume(const OutputVolumeSpec& spec);

/// The layout of a result made by `create_output_volume`. Errors: Error when the dataset is none.
OutputLayout read_output_layout(const DatasetName& name);

/// Writes blocks of a result by pwrite. Blocks of different writers are disjoint, so no lock is needed and
/// writing a block again is harmless.
class BlockWriter {
 public:
  /// Errors: Error.
  BlockWriter(const std::filesystem::path& file, const OutputLayout& layout);

  /// Writes `block`, which starts on the chunk grid and ends on it or where the volume ends, and returns the
  /// CRC-32C of `voxels` (channel by channel, row-major over `block`, of the layout's type). Errors: Error.
  std::uint32_t write(const Box& block, std::span<const std::byte> voxels);
  /// fdatasync: what write() wrote is on the disk when this returns. Errors: Error.
  void sync();

 private:
  /// Copies `part` of the source into the chunk's beginning corner; what the chunk has beyond is 0.
  void gather_chunk(const std::byte* source, const Index3& source_shape, const Box& part);

  std::filesystem::path path_;
  FileDescriptor file_;
  OutputLayout layout_;
  std::vector<std::byte> chunk_;
};

}  // namespace tessera
