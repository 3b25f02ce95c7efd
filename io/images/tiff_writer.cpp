#include "io/images/tiff_writer.h"

#include <fmt/format.h>
#include <tiffio.h>

#include <algorithm>
#include <cassert>

#include "io/base/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kStripBytes = 256 * 1024;
constexpr double kClassicLimitBytes = 3.9 * 1024 * 1024 * 1024;

}  // namespace

TiffWriter::TiffWriter(const fs::path& file, VoxelType type, const Index3& shape)
    : staged_(file), path_(file), type_(type), shape_(shape) {
  if (type == VoxelType::uint64)
    throw Error(fmt::format("cannot write {}: TIFF has no uint64 samples", file.string()));
  const bool big =
      static_cast<double>(volume_of(shape)) * static_cast<double>(size_of(type)) > kClassicLimitBytes;
  file_.emplace(staged_.path(), big ? TiffFile::Access::write_bigtiff : TiffFile::Access::write);
}

void TiffWriter::write_page(std::span<const std::byte> samples) {
  assert(written_ < shape_.z);
  const std::int64_t row_bytes = shape_.x * size_of(type_);
  assert(std::ssize(samples) == shape_.y * row_bytes);
  const std::int64_t strip_rows = std::clamp<std::int64_t>(kStripBytes / row_bytes, 1, shape_.y);
  TIFF* file = file_->get();
  file_->clear_message();
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
      throw Error(fmt::format("{}: {} (is the disk full?)", what, file_->reason()));
    }
  }
  if (TIFFWriteDirectory(file) == 0)
    throw Error(fmt::format("{}: {} (is the disk full?)", what, file_->reason()));
  ++written_;
}

void TiffWriter::finish() {
  if (written_ != shape_.z) {
    throw Error(
        fmt::format("{} has only {} of its {} pages: not finished", path_.string(), written_, shape_.z));
  }
  file_->close("cannot finish " + path_.string());
  file_.reset();
  staged_.commit();
}

}  // namespace tessera
