#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/images/image_options.h"
#include "io/images/tiff_reader.h"
#include "io/images/tiff_writer.h"

namespace tessera {

/// Reads a serial-section stack section by section: a multi-page TIFF, one PNG image, or a folder with one
/// PNG or one-page TIFF per section, in natural order. Holds one section in memory at a time.
class ImageStackReader {
 public:
  /// Of a folder, this reads only the first image. Errors: Error with the file's name when it is missing,
  /// empty, damaged or unfit (see TiffReader, read_png), or the folder has no images.
  /// UsageError when `options` lacks a decision that the images need (see ImageOptions).
  explicit ImageStackReader(const std::filesystem::path& path, const ImageOptions& options = {});

  VoxelType type() const { return type_; }
  const Index3& shape() const { return shape_; }
  /// The number of files in the folder that are ignored: hidden, or neither PNG nor TIFF by their names.
  std::int64_t ignored_files() const { return ignored_files_; }
  /// What the first file says of its samples and is not applied, or is applied unasked; empty: nothing.
  const std::string& note() const { return note_; }

  /// Section `z`, shape (1, y, x). Errors: Error with the file's name, also when the image's size or type
  /// differs from the first one's.
  VoxelBuffer read_section(std::int64_t z);

 private:
  std::filesystem::path path_;
  ImageOptions options_;
  std::vector<std::filesystem::path> files_;  ///< one per section (see SectionFiles); empty for a TIFF stack
  std::optional<TiffReader> stack_;
  VoxelType type_ = VoxelType::uint8;
  Index3 shape_;
  std::int64_t ignored_files_ = 0;
  std::string note_;
};

/// Writes a stack section by section: a multi-page TIFF if the name ends in .tif or .tiff, else a folder of
/// PNG sections (`section_0000.png`, ...). Before finish(), nothing exists under the final name.
class ImageStackWriter {
 public:
  /// `shape`: of the whole stack. uint64 voxels become 32-bit samples. Errors: Error; UsageError for a type
  /// that PNG does not have.
  ImageStackWriter(const std::filesystem::path& path, VoxelType type, const Index3& shape);
  ImageStackWriter(const ImageStackWriter&) = delete;
  ImageStackWriter& operator=(const ImageStackWriter&) = delete;
  ~ImageStackWriter();

  /// Writes the next sections of the stack: channel `channel` of `buffer`.
  /// Errors: Error, also for a uint64 value above 32 bits.
  void write_sections(const VoxelBuffer& buffer, std::int64_t channel = 0);
  /// Renames the stack to its final name. A folder is replaced as a whole (see replace_folder()): its other
  /// files are kept, its sections are removed. Errors: Error.
  void finish();

 private:
  void write_section(std::span<const std::byte> voxels);

  std::filesystem::path path_;
  VoxelType type_;
  Index3 shape_;
  std::optional<TiffWriter> stack_;
  std::filesystem::path staged_folder_;  ///< empty for a TIFF
  std::int64_t written_ = 0;
};

}  // namespace tessera
