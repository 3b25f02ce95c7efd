#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/base/durable_file.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"

struct tiff;

namespace tessera {

struct CloseTiff {
  void operator()(tiff* file) const noexcept;
};
using TiffHandle = std::unique_ptr<tiff, CloseTiff>;

/// Reads the pages of a grey TIFF or BigTIFF file of either byte order, in strips or tiles, with any
/// compression of libtiff. Samples are unsigned integers of 8, 16 or 32 bits or 32-bit floats, returned as
/// stored (a white-is-zero image is not inverted). Reduced copies of pages (thumbnails) are ignored.
class TiffReader {
 public:
  /// Reads the directory of every page. Errors: Error with the file (and the page) when it is missing, empty,
  /// not TIFF, damaged or truncated, or has unfit samples or pages of different sizes or types.
  explicit TiffReader(const std::filesystem::path& file);

  VoxelType type() const { return type_; }
  /// (pages, height, width).
  const Index3& shape() const { return shape_; }
  /// Reads the samples of a page: row-major, height * width * size_of(type()) bytes, in native byte order.
  /// Access is random: any order of pages costs the same. Errors: Error with file and page.
  void read_page(std::int64_t page, std::span<std::byte> samples);

 private:
  void read_strips(std::span<std::byte> samples, const std::string& what);
  void read_tiles(std::span<std::byte> samples, const std::string& what);

  std::filesystem::path path_;
  TiffHandle file_;
  VoxelType type_ = VoxelType::uint8;
  Index3 shape_;
  std::vector<std::uint64_t> page_offsets_;
};

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
  TiffHandle file_;
};

}  // namespace tessera
