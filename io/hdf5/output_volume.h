#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
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

/// An attribute of a result that is known only later: its first value begins with this and goes on with text
/// that no other file has. It is stored where no checksum of HDF5 protects it.
constexpr const char* kKnownLater = "not known yet ";

/// Puts `text` in place of the first value of such an attribute, by one pwrite: readers see one or the other.
/// `text` is not longer than `first`. Does nothing where the file no longer has `first`. Errors: Error.
void complete_attribute(const std::filesystem::path& file, const OutputLayout& layout,
                        const std::string& first, const std::string& text);

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
