#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "io/base/staged_file.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/images/tiff_file.h"

namespace tessera {

/// Writes a multi-page grey TIFF with deflate compression; a BigTIFF when the samples alone exceed 3.9 GiB.
/// The file appears under its name at finish(). Types: uint8, uint16, uint32, float32.
class TiffWriter {
 public:
  /// Errors: Error.
  TiffWriter(const std::filesystem::path& file, VoxelType type, const Index3& shape);
  /// Writes the next page: height * width * size_of(type) bytes. Errors: Error.
  void write_page(std::span<const std::byte> samples);
  /// Errors: Error, also when fewer pages than shape.z were written.
  void finish();

 private:
  StagedFile staged_;
  std::filesystem::path path_;
  VoxelType type_;
  Index3 shape_;
  std::int64_t written_ = 0;
  std::optional<TiffFile> file_;
};

}  // namespace tessera
