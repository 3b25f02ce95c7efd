#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/axis_order.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/images/image_stack.h"
#include "io/volume/volume.h"

namespace tessera {

struct ImportSourceOptions {
  ImageOptions images;
  std::optional<AxisOrder> axes;    ///< of the source; none: (z, y, x)
  std::optional<VoxelType> type;    ///< to convert to; none: that of the source
  std::optional<double> threshold;  ///< voxels above it become 1, others 0, of uint8
  bool allow_incomplete = false;    ///< reads a result of `infer` that is not whole
};

/// What `import` reads: a stack of images or a dataset, with its axes brought into the order (z, y, x), and
/// its voxels converted.
class ImportSource {
 public:
  /// `source`: an image file, a folder of images, or file:/dataset. Errors: as ImageStackReader and
  /// open_volume; UsageError for a result that is not complete, for channels of a dataset without
  /// `images.channel`, and for images in another order than (z, y, x) that do not fit in memory.
  ImportSource(const std::string& source, const ImportSourceOptions& options);

  /// Of read_sections().
  VoxelType type() const;
  const Index3& shape() const { return shape_; }  ///< (z, y, x)
  /// Of a dataset with these attributes, (z, y, x); else empty.
  const std::vector<double>& resolution_nm() const { return resolution_nm_; }
  const std::vector<double>& offset_nm() const { return offset_nm_; }
  /// What is passed over, applied unasked or doubtful.
  const std::vector<std::string>& notes() const { return notes_; }

  /// A good number of groups of `sections` sections to read at once.
  std::int64_t good_sections(std::int64_t sections) const;
  /// Sections [begin, begin + count). Errors: Error, also for a voxel that the type cannot hold.
  VoxelBuffer read_sections(std::int64_t begin, std::int64_t count);

 private:
  void open_images(const std::string& source, const ImageOptions& images);
  void open_dataset(const std::string& source, const ImageOptions& images);
  VoxelBuffer read_source(std::int64_t begin, std::int64_t count);
  VoxelBuffer read_images(std::int64_t begin, std::int64_t count);
  VoxelBuffer read_dataset(const Box& box);

  std::string source_;
  ImportSourceOptions options_;
  AxisOrder axes_;
  std::optional<ImageStackReader> images_;
  std::unique_ptr<Volume> dataset_;
  std::int64_t channel_ = 0;
  VoxelBuffer whole_;                  ///< images in another order than (z, y, x): all of them, sorted
  VoxelType type_ = VoxelType::uint8;  ///< of the source
  Index3 shape_;
  std::vector<double> resolution_nm_, offset_nm_;
  std::vector<std::string> notes_;
};

}  // namespace tessera
