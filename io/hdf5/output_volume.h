#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "io/base/durable_file.h"
#include "io/geometry/box.h"
#include "io/volume/output_layout.h"
#include "io/volume/volume.h"

namespace tessera {

/// Creates a result's file: one process, serial library, under another name, with disk space reserved for
/// every byte, then renamed. Afterwards nothing opens the file for writing through HDF5: `BlockWriter` writes
/// the blocks, so that no kill can damage what is written (design, section 8).
/// Errors: Error (no space, no permission, ...).
OutputLayout create_hdf5_output(const OutputVolumeSpec& spec);

/// The layout of a result made by `create_hdf5_output`. Errors: Error when the dataset is no such result.
OutputLayout read_hdf5_output_layout(const DatasetName& name);

/// Writes blocks of a result by pwrite; makes no HDF5 call.
class BlockWriter final : public VolumeWriter {
 public:
  /// Errors: Error, also when the file has another mark than the layout.
  BlockWriter(const std::filesystem::path& file, const OutputLayout& layout);

  std::uint32_t write(const Box& block, const VoxelBuffer& voxels) override;
  void sync() override;

 private:
  /// Copies `part` of the source into the beginning of the chunk; the rest of the chunk becomes 0.
  void gather_chunk(const std::byte* source, const Index3& source_shape, const Box& part);

  std::filesystem::path path_;
  FileDescriptor file_;
  OutputLayout layout_;
  std::vector<std::byte> chunk_;
};

}  // namespace tessera
