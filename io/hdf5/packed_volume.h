#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/base/durable_file.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/output_volume.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// A chunk as HDF5 stores it behind shuffle and deflate.
struct PackedChunk {
  std::int64_t index = 0;         ///< row-major over the grid of chunks, channels first
  std::uint32_t filter_mask = 0;  ///< HDF5's: a bit for each filter that was left out
  std::vector<std::byte> bytes;   ///< empty: every voxel is 0, nothing needs to be stored
};

/// Shuffles (voxels of over one byte) and deflates the bytes of a whole chunk; left as it is where that gains
/// nothing. `voxel_bytes`: the size of a voxel; `level`: 1 to 9. Errors: Error.
PackedChunk pack_chunk(std::int64_t index, std::span<const std::byte> bytes, std::int64_t voxel_bytes,
                       int level);

/// The raw bytes of every chunk of a result, by index.
class ChunkReader {
 public:
  ChunkReader(const std::filesystem::path& file, const OutputLayout& layout);
  std::int64_t count() const { return layout_.channels * volume_of(layout_.grid()); }
  /// Valid until the next call. Errors: Error.
  std::span<const std::byte> read(std::int64_t index);

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  OutputLayout layout_;
  std::vector<std::byte> chunk_;
};

/// Writes a result anew with its chunks packed: the same shape, type, chunks, attributes and links to other
/// files. One process, aside; what is there under the target's name stays as it is until commit().
class PackedVolume {
 public:
  /// Errors: Error.
  PackedVolume(const DatasetName& source, const OutputLayout& layout, const DatasetName& target, int level);

  /// Errors: Error (a full disk, maybe).
  void write(const PackedChunk& chunk);
  /// Closes the file; nothing can be written afterwards. It is at staged() then. Errors: Error.
  void close();
  DatasetName staged() const { return {staged_.path(), target_.path}; }
  void commit() { staged_.commit(); }

 private:
  DatasetName target_;
  OutputLayout layout_;
  StagedFile staged_;
  Hdf5Handle file_, dataset_;
};

}  // namespace tessera
