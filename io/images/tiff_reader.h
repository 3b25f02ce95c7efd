#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/images/image_options.h"
#include "io/images/tiff_file.h"
#include "io/images/tiff_layout.h"

namespace tessera {

/// Reads the sections of a TIFF or BigTIFF file of either byte order, in strips or tiles, with any
/// compression of libtiff. Honoured: sample formats (see StoredSamples), the fill order, the orientation, the
/// image depth, planes without directories (ImageJ above 4 GiB, tifffile, MetaMorph), and the dimensions that
/// ImageJ, OME-XML, tifffile and Zeiss LSM describe. Reduced copies of pages (thumbnails) are ignored.
class TiffReader {
 public:
  /// Reads the directory of every page. Errors: Error with the file (and the page) when it is missing, empty,
  /// not TIFF, damaged or truncated, or has unfit samples or pages of different sizes or types; UsageError
  /// when `options` lacks a decision that the file needs, or makes one that it cannot have.
  explicit TiffReader(const std::filesystem::path& file, const ImageOptions& options = {});
  TiffReader(const TiffReader&) = delete;
  TiffReader& operator=(const TiffReader&) = delete;

  VoxelType type() const { return layout_.type(); }
  /// (sections, height, width).
  const Index3& shape() const { return layout_.shape(); }
  /// What the file says of its samples and is not applied, or is applied unasked; empty: nothing.
  const std::string& note() const { return layout_.note(); }
  /// Reads a section: row-major, height * width * size_of(type()) bytes, in native byte order. Access is
  /// random: any order of sections costs the same. Errors: Error with file and section.
  void read_section(std::int64_t section, std::span<std::byte> voxels);

 private:
  void read_strips(const TiffLayout::Plane& plane, std::span<std::byte> voxels, const std::string& what);
  void read_tiles(const TiffLayout::Plane& plane, std::span<std::byte> voxels, const std::string& what);
  void read_contiguous(const TiffLayout::Plane& plane, std::span<std::byte> voxels, const std::string& what);
  void make_native(std::span<std::byte> stored) const;
  void convert_row(const TiffLayout::Plane& plane, std::span<const std::byte> row,
                   std::span<std::byte> voxels, const std::string& what) const;

  std::filesystem::path path_;
  bool inverts_;
  TiffFile file_;
  TiffLayout layout_;
  const TiffPage page_;
};

}  // namespace tessera
