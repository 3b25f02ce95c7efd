#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/images/image_options.h"
#include "io/images/stack_dimensions.h"
#include "io/images/stored_samples.h"
#include "io/images/tiff_directory.h"
#include "io/images/tiff_file.h"

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

  VoxelType type() const { return type_; }
  /// (sections, height, width).
  const Index3& shape() const { return shape_; }
  /// What the file says of its samples and is not applied, or is applied unasked; empty: nothing.
  const std::string& note() const { return note_; }
  /// Reads a section: row-major, height * width * size_of(type()) bytes, in native byte order. Access is
  /// random: any order of sections costs the same. Errors: Error with file and section.
  void read_section(std::int64_t section, std::span<std::byte> voxels);

 private:
  /// What one page says of its samples; equal for all pages of a stack.
  struct Page {
    StoredSamples samples;
    std::int64_t height = 0, width = 0, depth = 1;  ///< as stored, before `orientation`
    int samples_per_pixel = 1;
    int photometric = 1;
    int orientation = 1;
    bool separate = false;  ///< each sample of the pixels has a plane of its own

    bool operator==(const Page&) const = default;
    std::string text() const;
    std::int64_t row_bytes() const;  ///< of one row of pixels, or of one sample's when separate
  };
  struct Plane {
    std::int64_t page = 0, depth = 0, sample = 0;
  };

  Page describe_page(const std::string& what) const;
  void require_grey(const Page& page, const std::string& what) const;
  void read_directories();
  void find_dimensions();
  void find_planes_without_directories(std::int64_t planes, const std::string& source);
  void choose_sections();
  Plane plane_of(std::int64_t section) const;
  void read_strips(const Plane& plane, std::span<std::byte> voxels, const std::string& what);
  void read_tiles(const Plane& plane, std::span<std::byte> voxels, const std::string& what);
  void read_contiguous(const Plane& plane, std::span<std::byte> voxels, const std::string& what);
  void make_native(std::span<std::byte> stored) const;
  void convert_row(const Plane& plane, std::span<const std::byte> row, std::span<std::byte> voxels,
                   const std::string& what) const;
  std::uint64_t most_compressed() const;

  std::filesystem::path path_;
  ImageOptions options_;
  TiffFile file_;
  Page page_;
  StackDimensions dimensions_;
  VoxelType type_ = VoxelType::uint8;
  Index3 shape_;
  std::string note_;
  std::vector<std::uint64_t> page_offsets_;
  std::vector<std::int64_t> page_numbers_;  ///< among all directories, with the reduced copies
  std::uint64_t contiguous_at_ = 0;         ///< of the first of the planes without directories; 0: none
};

}  // namespace tessera
