#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/base/durable_file.h"
#include "io/base/staged_file.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/output_volume.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// A chunk as HDF5 stores it after shuffle and deflate.
struct PackedChunk {
  std::int64_t index = 0;         ///< row-major over the grid of chunks, channels first
  std::uint32_t filter_mask = 0;  ///< HDF5's filter mask: a bit for each filter not applied
  std::vector<std::byte> bytes;   ///< empty: every voxel is 0, and the chunk is not stored
};

/// Shuffles (voxels of more than one byte) and deflates the bytes of a whole chunk. A chunk that does not get
/// smaller stays as it is. `voxel_bytes`: size of a voxel; `level`: 1 to 9. Errors: Error.
PackedChunk pack_chunk(std::int64_t index, std::span<const std::byte> bytes, std::int64_t voxel_bytes,
                       int level);

/// Reads the stored bytes of a result's chunks, without HDF5.
class ChunkReader {
 public:
  ChunkReader(const std::filesystem::path& file, const OutputLayout& layout);
  std::int64_t count() const { return layout_.channels * volume_of(layout_.grid()); }
  /// The bytes of chunk `index` (row-major, channels first), valid until the next call. Errors: Error.
  std::span<const std::byte> read(std::int64_t index);

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  OutputLayout layout_;
  std::vector<std::byte> chunk_;
};

/// Writes a compressed copy of a result: the same shape, type, chunks and attributes, and all else that its
/// file holds: other datasets, groups, links. One process writes it, under another name; a file of the
/// target's name stays until commit().
class PackedVolume {
 public:
  /// `note`: what the attribute `packed` says in addition to the filters; "": nothing. Errors: Error.
  PackedVolume(const DatasetName& source, const OutputLayout& layout, const DatasetName& target, int level,
               const std::string& note = "");

  /// Errors: Error (such as a full disk).
  void write(const PackedChunk& chunk);
  /// Closes the file, which is then at staged(), and compares its attributes with the source's. Nothing can
  /// be written afterwards. Errors: Error.
  void close();
  DatasetName staged() const { return {staged_.path(), target_.path}; }
  void commit() { staged_.commit(); }

 private:
  DatasetName source_, target_;
  OutputLayout layout_;
  StagedFile staged_;
  Hdf5Handle file_, dataset_;
};

}  // namespace tessera
