#pragma once

#include <tiffio.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/images/image_options.h"
#include "io/images/stack_dimensions.h"
#include "io/images/stored_samples.h"
#include "io/images/tiff_file.h"

namespace tessera {

/// The value of a tag of 16 bits, with libtiff's default; `otherwise` without either.
std::uint16_t tiff_tag(TIFF* file, std::uint32_t tag, std::uint16_t otherwise);

/// What one page says of its samples; equal for all pages of a stack.
struct TiffPage {
  StoredSamples samples;
  std::int64_t height = 0, width = 0, depth = 1;  ///< as stored, before `orientation`
  int samples_per_pixel = 1;
  int photometric = 1;
  int orientation = 1;
  bool separate = false;  ///< each sample of the pixels has a plane of its own

  bool operator==(const TiffPage&) const = default;
  std::string text() const;
  std::int64_t row_bytes() const;  ///< of one row of pixels, or of one sample's when separate
};

/// Finds the planes of a TIFF stack: what its pages hold, which section, channel and time point each plane
/// is, and where it is stored. Reads no voxel. TiffReader lists what it honours.
class TiffLayout {
 public:
  /// Where one plane is stored.
  struct Plane {
    std::int64_t page = 0;    ///< of the stack, without thumbnails
    std::int64_t depth = 0;   ///< section in a page of several sections
    std::int64_t sample = 0;  ///< channel in the pixels
  };

  /// Reads the directory of every page of `file`, which must outlive this object. `path`: of the file, for
  /// messages. Errors: as TiffReader's constructor.
  TiffLayout(TiffFile& file, const std::filesystem::path& path, const ImageOptions& options);

  const TiffPage& page() const { return page_; }
  VoxelType type() const { return type_; }
  /// (sections, height, width), after the orientation is applied.
  const Index3& shape() const { return shape_; }
  /// What the file says of its samples and is not applied, or is applied unasked; empty: nothing.
  const std::string& note() const { return note_; }
  /// `section`: in [0, shape().z).
  Plane plane_of(std::int64_t section) const;
  /// The offset of a page's directory in the file. `page`: as in Plane.
  std::uint64_t page_offset(std::int64_t page) const { return page_offsets_[static_cast<std::size_t>(page)]; }
  /// The offset of the first of the planes that have no directory; 0: every plane has one.
  std::uint64_t contiguous_at() const { return contiguous_at_; }
  /// The most bytes that one stored byte can decompress to.
  std::uint64_t most_compressed() const;

 private:
  TiffPage describe_page(const std::string& what) const;
  void require_grey(const TiffPage& page, const std::string& what) const;
  void read_directories();
  void find_dimensions();
  void find_planes_without_directories(std::int64_t planes, const std::string& source);
  void choose_sections();

  std::filesystem::path path_;
  ImageOptions options_;
  TiffFile& file_;
  TiffPage page_;
  StackDimensions dimensions_;
  VoxelType type_ = VoxelType::uint8;
  Index3 shape_;
  std::string note_;
  std::vector<std::uint64_t> page_offsets_;
  std::vector<std::int64_t> page_numbers_;  ///< among all directories, with the reduced copies
  std::uint64_t contiguous_at_ = 0;
};

}  // namespace tessera
