#include "io/images/tiff.h"

#include <fmt/format.h>
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "io/base/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// The last message of the library on this thread. The library passes messages to a plain function.
thread_local std::string last_message;

void keep_message(thandle_t, const char*, const char* format, va_list values) {
  std::array<char, 300> text{};
  std::vsnprintf(text.data(), text.size(), format, values);
  last_message = text.data();
}

void catch_messages() {
  TIFFSetErrorHandler(nullptr);
  TIFFSetWarningHandler(nullptr);
  TIFFSetErrorHandlerExt(keep_message);
  TIFFSetWarningHandlerExt(nullptr);
  last_message.clear();
}

std::string reason() {
  return last_message.empty() ? "no reason given" : last_message;
}

struct Page {
  VoxelType type = VoxelType::uint8;
  std::int64_t height = 0, width = 0;
};

std::uint16_t short_tag(TIFF* file, std::uint32_t tag) {
  std::uint16_t value = 0;
  TIFFGetFieldDefaulted(file, tag, &value);
  return value;
}

Page describe_page(TIFF* file, const std::string& what) {
  std::uint32_t width = 0, height = 0;
  if (TIFFGetField(file, TIFFTAG_IMAGEWIDTH, &width) == 0 ||
      TIFFGetField(file, TIFFTAG_IMAGELENGTH, &height) == 0 || width == 0 || height == 0) {
    throw Error(what + " has no size (is the file damaged?)");
  }
  const std::uint16_t samples = short_tag(file, TIFFTAG_SAMPLESPERPIXEL);
  const std::uint16_t photometric = short_tag(file, TIFFTAG_PHOTOMETRIC);
  if (samples != 1 || photometric == PHOTOMETRIC_PALETTE) {
    throw Error(
        fmt::format("{} is {}, not grey: convert it to grey first", what,
                    samples != 1 ? fmt::format("an image of {} channels", samples) : "a palette image"));
  }
  const std::uint16_t bits = short_tag(file, TIFFTAG_BITSPERSAMPLE);
  const std::uint16_t format = short_tag(file, TIFFTAG_SAMPLEFORMAT);
  const bool is_unsigned = format == SAMPLEFORMAT_UINT || format == SAMPLEFORMAT_VOID;
  Page page{VoxelType::uint8, height, width};
  if (is_unsigned && bits == 8)
    page.type = VoxelType::uint8;
  else if (is_unsigned && bits == 16)
    page.type = VoxelType::uint16;
  else if (is_unsigned && bits == 32)
    page.type = VoxelType::uint32;
  else if (format == SAMPLEFORMAT_IEEEFP && bits == 32)
    page.type = VoxelType::float32;
  else {
    throw Error(fmt::format(
        "{} has {}-bit {} samples; unsigned 8, 16 and 32 bits and 32-bit floats can be read", what, bits,
        is_unsigned                  ? "unsigned"
        : format == SAMPLEFORMAT_INT ? "signed"
                                     : "floating-point or complex"));
  }
  const std::uint16_t compression = short_tag(file, TIFFTAG_COMPRESSION);
  if (TIFFIsCODECConfigured(compression) == 0) {
    throw Error(
        fmt::format("{} is compressed by a scheme (number {}) that this libtiff does not know: save it with "
                    "LZW, deflate or no compression",
                    what, compression));
  }
  return page;
}

/// ImageJ writes a stack above 4 GiB as one page, followed by the samples of the others without directories.
/// Its description has the number of pages.
std::int64_t imagej_pages(TIFF* file) {
  const char* text = nullptr;
  if (TIFFGetField(file, TIFFTAG_IMAGEDESCRIPTION, &text) == 0 || text == nullptr) return 0;
  const std::string_view description(text);
  constexpr std::string_view kKey = "images=";
  const auto at = description.find(kKey);
  if (!description.starts_with("ImageJ=") || at == std::string_view::npos) return 0;
  std::int64_t pages = 0;
  const char* first = description.data() + at + kKey.size();
  std::from_chars(first, description.data() + description.size(), pages);
  return pages;
}

bool is_reduced_copy(TIFF* file) {
  std::uint32_t kind = 0;
  TIFFGetFieldDefaulted(file, TIFFTAG_SUBFILETYPE, &kind);
  return (kind & FILETYPE_REDUCEDIMAGE) != 0;
}

/// LZW compresses at most about 2700 bytes to one, deflate 1032. A small file that declares more is damaged
/// and must not cause a huge allocation.
constexpr std::uint64_t kMostCompressed = 4000;

constexpr std::int64_t kStripBytes = 256 * 1024;
constexpr double kClassicLimitBytes = 3.9 * 1024 * 1024 * 1024;

}  // namespace

void CloseTiff::operator()(tiff* file) const noexcept {
  TIFFClose(file);
}

TiffReader::TiffReader(const fs::path& file) : path_(file) {
  const std::string name = file.string();
  const FileDescriptor readable(file, 0);  // for a clear message when it cannot be read
  if (fs::is_directory(file))
    throw Error(fmt::format("cannot read {}: it is a folder, not a TIFF file", name));
  const std::uintmax_t file_bytes = fs::file_size(file);
  if (file_bytes == 0) throw Error(name + " is empty: no TIFF file");
  catch_messages();
  file_ = TiffHandle(TIFFOpen(file.c_str(), "rm"));
  if (!file_) throw Error(fmt::format("{} is not a TIFF file, or is damaged: {}", name, reason()));
  const std::int64_t imagej = imagej_pages(file_.get());
  bool more = true;
  while (more) {
    if (!is_reduced_copy(file_.get())) {
      const std::string what = fmt::format("page {} of {}", page_offsets_.size(), name);
      const Page page = describe_page(file_.get(), what);
      if (page_offsets_.empty()) {
        type_ = page.type;
        shape_ = {0, page.height, page.width};
      } else if (page.type != type_ || page.height != shape_.y || page.width != shape_.x) {
        throw Error(fmt::format(
            "{} is {} x {} {}, the pages before it are {} x {} {}: the pages of a stack must be "
            "alike",
            what, page.height, page.width, name_of(page.type), shape_.y, shape_.x, name_of(type_)));
      }
      page_offsets_.push_back(TIFFCurrentDirOffset(file_.get()));
    }
    more = TIFFLastDirectory(file_.get()) == 0;
    if (more && TIFFReadDirectory(file_.get()) == 0) {
      throw Error(
          fmt::format("cannot read {} beyond its first {} page(s): {} (is the file damaged or truncated?)",
                      name, page_offsets_.size(), reason()));
    }
  }
  shape_.z = std::ssize(page_offsets_);
  if (shape_.z == 0) throw Error(name + " holds only reduced copies of images (thumbnails)");
  if (imagej > shape_.z && shape_.z == 1) {
    throw Error(fmt::format(
        "{} is one of ImageJ's stacks above 4 GiB: it announces {} images but only the first has a "
        "directory; save it from ImageJ as an image sequence and import the folder",
        name, imagej));
  }
  const std::uint64_t page_bytes =
      static_cast<std::uint64_t>(volume_of({size_of(type_), shape_.y, shape_.x}));
  if (page_bytes / kMostCompressed > file_bytes) {
    throw Error(
        fmt::format("{} declares pages of {} x {} but is far too small for them (is the file damaged?)", name,
                    shape_.y, shape_.x));
  }
}

void TiffReader::read_page(std::int64_t page, std::span<std::byte> samples) {
  assert(page >= 0 && page < shape_.z);
  assert(std::ssize(samples) == shape_.y * shape_.x * size_of(type_));
  const std::string what = fmt::format("cannot read page {} of {}", page, path_.string());
  catch_messages();
  if (TIFFSetSubDirectory(file_.get(), page_offsets_[static_cast<std::size_t>(page)]) == 0) {
    throw Error(fmt::format("{}: {} (is the file damaged?)", what, reason()));
  }
  if (TIFFIsTiled(file_.get()) != 0)
    read_tiles(samples, what);
  else
    read_strips(samples, what);
}

void TiffReader::read_strips(std::span<std::byte> samples, const std::string& what) {
  std::uint32_t rows = 0;
  TIFFGetFieldDefaulted(file_.get(), TIFFTAG_ROWSPERSTRIP, &rows);
  const std::int64_t row_bytes = shape_.x * size_of(type_);
  const std::int64_t strip_rows = std::clamp<std::int64_t>(rows, 1, shape_.y);
  std::int64_t y = 0;
  for (std::uint32_t strip = 0; y < shape_.y; ++strip, y += strip_rows) {
    const auto part =
        samples.subspan(static_cast<std::size_t>(y * row_bytes),
                        static_cast<std::size_t>(std::min(strip_rows, shape_.y - y) * row_bytes));
    const tmsize_t got = TIFFReadEncodedStrip(file_.get(), strip, part.data(), std::ssize(part));
    if (got != std::ssize(part)) {
      throw Error(fmt::format("{}, rows from {}: {} (is the file damaged or truncated?)", what, y,
                              got < 0 ? reason() : fmt::format("{} bytes instead of {}", got, part.size())));
    }
  }
}

void TiffReader::read_tiles(std::span<std::byte> samples, const std::string& what) {
  std::uint32_t tile_width = 0, tile_height = 0;
  TIFFGetField(file_.get(), TIFFTAG_TILEWIDTH, &tile_width);
  TIFFGetField(file_.get(), TIFFTAG_TILELENGTH, &tile_height);
  const std::int64_t sample = size_of(type_), wide = tile_width, high = tile_height;
  if (wide < 1 || high < 1 || wide > round_up(shape_.x, 4096) || high > round_up(shape_.y, 4096)) {
    throw Error(
        fmt::format("{}: tiles of {} x {} are not possible (is the file damaged?)", what, high, wide));
  }
  std::vector<std::byte> tile(static_cast<std::size_t>(wide * high * sample));
  for (std::int64_t y = 0; y < shape_.y; y += high) {
    for (std::int64_t x = 0; x < shape_.x; x += wide) {
      const std::uint32_t index =
          TIFFComputeTile(file_.get(), static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y), 0, 0);
      const tmsize_t got = TIFFReadEncodedTile(file_.get(), index, tile.data(), std::ssize(tile));
      if (got != std::ssize(tile)) {
        throw Error(
            fmt::format("{}, tile at row {}, column {}: {} (is the file damaged or truncated?)", what, y, x,
                        got < 0 ? reason() : fmt::format("{} bytes instead of {}", got, tile.size())));
      }
      const auto run = static_cast<std::size_t>(std::min(wide, shape_.x - x) * sample);
      for (std::int64_t row = 0; row < std::min(high, shape_.y - y); ++row) {
        std::memcpy(samples.data() + ((y + row) * shape_.x + x) * sample, tile.data() + row * wide * sample,
                    run);
      }
    }
  }
}

TiffWriter::TiffWriter(const fs::path& file, VoxelType type, const Index3& shape)
    : staged_(file), path_(file), type_(type), shape_(shape) {
  if (type == VoxelType::uint64)
    throw Error(fmt::format("cannot write {}: TIFF has no uint64 samples", file.string()));
  catch_messages();
  const bool big =
      static_cast<double>(volume_of(shape)) * static_cast<double>(size_of(type)) > kClassicLimitBytes;
  file_ = TiffHandle(TIFFOpen(staged_.path().c_str(), big ? "w8" : "w"));
  if (!file_) throw Error(fmt::format("cannot create {}: {}", file.string(), reason()));
}

void TiffWriter::write_page(std::span<const std::byte> samples) {
  assert(written_ < shape_.z);
  const std::int64_t row_bytes = shape_.x * size_of(type_);
  assert(std::ssize(samples) == shape_.y * row_bytes);
  const std::int64_t strip_rows = std::clamp<std::int64_t>(kStripBytes / row_bytes, 1, shape_.y);
  TIFF* file = file_.get();
  catch_messages();
  TIFFSetField(file, TIFFTAG_IMAGEWIDTH, static_cast<std::uint32_t>(shape_.x));
  TIFFSetField(file, TIFFTAG_IMAGELENGTH, static_cast<std::uint32_t>(shape_.y));
  TIFFSetField(file, TIFFTAG_BITSPERSAMPLE, static_cast<int>(size_of(type_) * 8));
  TIFFSetField(file, TIFFTAG_SAMPLESPERPIXEL, 1);
  TIFFSetField(file, TIFFTAG_SAMPLEFORMAT,
               type_ == VoxelType::float32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT);
  TIFFSetField(file, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  TIFFSetField(file, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(file, TIFFTAG_SUBFILETYPE, FILETYPE_PAGE);
  TIFFSetField(file, TIFFTAG_ROWSPERSTRIP, static_cast<std::uint32_t>(strip_rows));
  TIFFSetField(file, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
  const std::string what = fmt::format("cannot write page {} of {}", written_, path_.string());
  std::vector<std::byte> strip;  // a copy, because the library may change the samples
  std::int64_t y = 0;
  for (std::uint32_t index = 0; y < shape_.y; ++index, y += strip_rows) {
    const auto part =
        samples.subspan(static_cast<std::size_t>(y * row_bytes),
                        static_cast<std::size_t>(std::min(strip_rows, shape_.y - y) * row_bytes));
    strip.assign(part.begin(), part.end());
    if (TIFFWriteEncodedStrip(file, index, strip.data(), std::ssize(strip)) != std::ssize(strip)) {
      throw Error(fmt::format("{}: {} (is the disk full?)", what, reason()));
    }
  }
  if (TIFFWriteDirectory(file) == 0) throw Error(fmt::format("{}: {} (is the disk full?)", what, reason()));
  ++written_;
}

void TiffWriter::finish() {
  if (written_ != shape_.z) {
    throw Error(
        fmt::format("{} has only {} of its {} pages: not finished", path_.string(), written_, shape_.z));
  }
  catch_messages();
  file_.reset();
  if (!last_message.empty()) throw Error(fmt::format("cannot finish {}: {}", path_.string(), reason()));
  staged_.commit();
}

}  // namespace tessera
