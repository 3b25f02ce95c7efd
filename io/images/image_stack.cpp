#include "io/images/image_stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <string>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/other_format.h"
#include "io/base/replace_folder.h"
#include "io/base/staged_file.h"
#include "io/base/temporary_name.h"
#include "io/images/png.h"
#include "io/images/section_files.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// One image file as a section, shape (1, y, x), and what it says that is not applied.
struct Section {
  VoxelBuffer voxels;
  std::string note;
};

Section read_image(const fs::path& file, const ImageOptions& options) {
  if (is_png_name(file)) {
    PngImage image = read_png(file, options);
    VoxelBuffer buffer;
    buffer.type = image.bits == 16 ? VoxelType::uint16 : VoxelType::uint8;
    buffer.shape = {1, image.height, image.width};
    buffer.bytes = std::move(image.bytes);
    return {std::move(buffer), {}};
  }
  TiffReader tiff(file, options);
  if (tiff.shape().z != 1) {
    throw Error(
        fmt::format("{} has {} pages: in a folder each file is one section (a multi-page TIFF is imported by "
                    "naming the file itself)",
                    file.string(), tiff.shape().z));
  }
  VoxelBuffer buffer(tiff.type(), tiff.shape());
  tiff.read_section(0, buffer.bytes);
  return {std::move(buffer), tiff.note()};
}

/// "section_" digits ".png".
bool is_section_name(const std::string& name) {
  constexpr std::string_view kHead = "section_", kTail = ".png";
  if (name.size() <= kHead.size() + kTail.size() || !name.starts_with(kHead) || !name.ends_with(kTail))
    return false;
  return std::all_of(name.begin() + kHead.size(), name.end() - kTail.size(), is_digit);
}

/// Puts all but the sections of an existing folder into another one beside it: as hard links, where possible.
void keep_other_files(const fs::path& from, const fs::path& to) {
  if (!fs::exists(from)) return;
  constexpr auto kAll = fs::copy_options::recursive | fs::copy_options::copy_symlinks;
  for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
    const fs::path name = entry.path().filename();
    if (is_section_name(name.string())) continue;
    std::error_code code;
    fs::copy(entry.path(), to / name, kAll | fs::copy_options::create_hard_links, code);
    if (!code) continue;
    fs::remove_all(to / name);
    fs::copy(entry.path(), to / name, kAll);
  }
}

}  // namespace

ImageStackReader::ImageStackReader(const fs::path& path, const ImageOptions& options)
    : path_(path), options_(options) {
  if (!file_exists(path))
    throw Error(
        fmt::format("cannot open {}: no such file or folder{}", path.string(), missing_file_note(path)));
  if (is_folder(path)) {
    if (options.channel == ImageOptions::kAsSections || options.time == ImageOptions::kAsSections)
      throw UsageError(path.string() +
                       " is a folder, in which each file is one section: choose one channel and time");
    SectionFiles sections = list_sections(path, options.missing);
    files_ = std::move(sections.files);
    ignored_files_ = sections.ignored;
  } else if (const std::string other = other_format(path); !other.empty()) {
    throw UsageError(fmt::format("{} is {}", path.string(), other));
  } else if (is_png_name(path)) {
    if (!fs::is_regular_file(path)) throw Error(path.string() + " is no regular file: no PNG image");
    files_.push_back(path);
  } else {
    stack_.emplace(path, options);
    type_ = stack_->type();
    shape_ = stack_->shape();
    note_ = stack_->note();
    return;
  }
  const Section first = read_image(files_.front(), options);
  type_ = first.voxels.type;
  shape_ = {std::ssize(files_), first.voxels.shape.y, first.voxels.shape.x};
  note_ = first.note;
}

VoxelBuffer ImageStackReader::read_section(std::int64_t z) {
  assert(z >= 0 && z < shape_.z);
  VoxelBuffer section(type_, {1, shape_.y, shape_.x});
  if (stack_) {
    stack_->read_section(z, section.bytes);
    return section;
  }
  const fs::path& file = files_[static_cast<std::size_t>(z)];
  if (file.empty()) return section;  // a missing section
  VoxelBuffer buffer = read_image(file, options_).voxels;
  if (buffer.type != type_ || buffer.shape.y != shape_.y || buffer.shape.x != shape_.x) {
    throw Error(fmt::format("{} is {} x {} {}, but {} is {} x {} {}: the sections of a stack must be alike",
                            file.string(), buffer.shape.y, buffer.shape.x, name_of(buffer.type),
                            files_.front().filename().string(), shape_.y, shape_.x, name_of(type_)));
  }
  return buffer;
}

ImageStackWriter::ImageStackWriter(const fs::path& path, VoxelType type, const Index3& shape)
    : path_(path), type_(type), shape_(shape) {
  if (is_tiff_name(path)) {
    stack_.emplace(path, type == VoxelType::uint64 ? VoxelType::uint32 : type, shape);
    return;
  }
  if (type != VoxelType::uint8 && type != VoxelType::uint16) {
    throw UsageError(
        fmt::format("PNG sections hold uint8 or uint16 voxels, not {}: name a .tif file as the output "
                    "instead of {}",
                    name_of(type), path.string()));
  }
  if (fs::exists(path) && !fs::is_directory(path)) {
    throw UsageError(fmt::format("{} is a file, not a folder for PNG sections", path.string()));
  }
  if (!path_.has_filename()) path_ = path_.parent_path();  // "out/" is "out"
  path_ = resolve_links(path_);
  create_folder_of(path_);
  remove_stale_temporaries(path_);
  staged_folder_ = temporary_name(path_);
  std::error_code code;
  if (!fs::create_directory(staged_folder_, code) || code) {
    throw Error(fmt::format("cannot create the folder {}: {}", staged_folder_.string(), code.message()));
  }
}

ImageStackWriter::~ImageStackWriter() {
  if (!staged_folder_.empty()) {
    remove_quietly(staged_folder_);
  }
}

void ImageStackWriter::write_sections(const VoxelBuffer& buffer, std::int64_t channel) {
  assert(buffer.type == type_ && buffer.shape.y == shape_.y && buffer.shape.x == shape_.x);
  const auto section_bytes = static_cast<std::size_t>(shape_.y * shape_.x * size_of(type_));
  for (std::int64_t z = 0; z < buffer.shape.z; ++z) {
    const auto at = static_cast<std::size_t>(channel * buffer.shape.z + z);
    write_section(std::span(buffer.bytes).subspan(at * section_bytes, section_bytes));
  }
}

void ImageStackWriter::write_section(std::span<const std::byte> voxels) {
  assert(written_ < shape_.z);
  if (!stack_) {
    const fs::path file = staged_folder_ / fmt::format("section_{:04}.png", written_);
    if (type_ == VoxelType::uint8) {
      create_file(file,
                  png_bytes(shape_.y, shape_.x, 1,
                            std::span(reinterpret_cast<const std::uint8_t*>(voxels.data()), voxels.size())));
    } else {
      create_file(file, png_bytes(shape_.y, shape_.x,
                                  std::span(reinterpret_cast<const std::uint16_t*>(voxels.data()),
                                            voxels.size() / 2)));
    }
  } else if (type_ == VoxelType::uint64) {
    const std::span wide(reinterpret_cast<const std::uint64_t*>(voxels.data()), voxels.size() / 8);
    std::vector<std::uint32_t> narrow(wide.size());
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (wide[i] > std::numeric_limits<std::uint32_t>::max()) {
        throw Error(fmt::format(
            "cannot write section {} of {}: the value {} does not fit the 32 bits of a TIFF sample "
            "(relabel the volume first)",
            written_, path_.string(), wide[i]));
      }
      narrow[i] = static_cast<std::uint32_t>(wide[i]);
    }
    stack_->write_page(std::as_bytes(std::span(narrow)));
  } else {
    stack_->write_page(voxels);
  }
  ++written_;
}

void ImageStackWriter::finish() {
  if (stack_) {
    stack_->finish();
    return;
  }
  if (written_ != shape_.z) {
    throw Error(
        fmt::format("{} has only {} of its {} sections: not finished", path_.string(), written_, shape_.z));
  }
  keep_other_files(path_, staged_folder_);
  replace_folder(staged_folder_, path_);
  staged_folder_.clear();
}

}  // namespace tessera
