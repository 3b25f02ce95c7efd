#include "io/images/tiff_reader.h"

#include <fmt/format.h>
#include <tiffio.h>

#include <algorithm>
#include <bit>
#include <cassert>

#include "io/base/error.h"
#include "io/images/orientation.h"

namespace tessera {

TiffReader::TiffReader(const std::filesystem::path& file, const ImageOptions& options)
    : path_(file),
      inverts_(options.white_is_zero == WhiteIsZero::invert),
      file_(file, TiffFile::Access::read),
      layout_(file_, file, options),
      page_(layout_.page()) {}

void TiffReader::read_section(std::int64_t section, std::span<std::byte> voxels) {
  assert(section >= 0 && section < shape().z);
  assert(std::ssize(voxels) == shape().y * shape().x * size_of(type()));
  const TiffLayout::Plane plane = layout_.plane_of(section);
  const std::string what = fmt::format("cannot read page {} of {}", plane.page, path_.string());
  file_.clear_message();
  if (layout_.contiguous_at() != 0) {
    read_contiguous(plane, voxels, what);
  } else {
    if (TIFFSetSubDirectory(file_.get(), layout_.page_offset(plane.page)) == 0)
      throw Error(fmt::format("{}: {} (is the file damaged?)", what, file_.reason()));
    if (TIFFIsTiled(file_.get()) != 0)
      read_tiles(plane, voxels, what);
    else
      read_strips(plane, voxels, what);
  }
  file_.require_sound(what);
  if (page_.photometric == PHOTOMETRIC_MINISWHITE && inverts_)
    invert_voxels(page_.samples.bits, type(), voxels);
  apply_orientation(page_.orientation, page_.height, page_.width, size_of(type()), voxels);
}

void TiffReader::convert_row(const TiffLayout::Plane& plane, std::span<const std::byte> row,
                             std::span<std::byte> voxels, const std::string& what) const {
  const std::int64_t step = page_.separate ? 1 : page_.samples_per_pixel;
  convert_samples(page_.samples, row, page_.separate ? 0 : plane.sample, step, voxels, what);
}

void TiffReader::read_strips(const TiffLayout::Plane& plane, std::span<std::byte> voxels,
                             const std::string& what) {
  std::uint32_t rows = 0;
  TIFFGetFieldDefaulted(file_.get(), TIFFTAG_ROWSPERSTRIP, &rows);
  const std::int64_t row_bytes = page_.row_bytes(), voxel_row = page_.width * size_of(type());
  const std::int64_t strip_rows = std::clamp<std::int64_t>(rows, 1, page_.height);
  std::vector<std::byte> stored(static_cast<std::size_t>(strip_rows * row_bytes));
  for (std::int64_t y = 0; y < page_.height; y += strip_rows) {
    const std::int64_t here = std::min(strip_rows, page_.height - y);
    const std::uint32_t strip =
        TIFFComputeStrip(file_.get(), static_cast<std::uint32_t>(y),
                         page_.separate ? static_cast<std::uint16_t>(plane.sample) : 0);
    const tmsize_t got = TIFFReadEncodedStrip(file_.get(), strip, stored.data(), here * row_bytes);
    if (got != here * row_bytes) {
      throw Error(fmt::format(
          "{}, rows from {}: {} (is the file damaged or truncated?)", what, y,
          got < 0 ? file_.reason() : fmt::format("{} bytes instead of {}", got, here * row_bytes)));
    }
    for (std::int64_t row = 0; row < here; ++row) {
      convert_row(plane,
                  std::span(stored).subspan(static_cast<std::size_t>(row * row_bytes),
                                            static_cast<std::size_t>(row_bytes)),
                  voxels.subspan(static_cast<std::size_t>((y + row) * voxel_row),
                                 static_cast<std::size_t>(voxel_row)),
                  what);
    }
  }
}

void TiffReader::read_tiles(const TiffLayout::Plane& plane, std::span<std::byte> voxels,
                            const std::string& what) {
  std::uint32_t tile_width = 0, tile_height = 0, tile_depth = 1;
  TIFFGetField(file_.get(), TIFFTAG_TILEWIDTH, &tile_width);
  TIFFGetField(file_.get(), TIFFTAG_TILELENGTH, &tile_height);
  TIFFGetField(file_.get(), TIFFTAG_TILEDEPTH, &tile_depth);
  const std::int64_t wide = tile_width, high = tile_height, deep = std::max<std::int64_t>(tile_depth, 1);
  const std::int64_t row_bytes =
      (wide * (page_.separate ? 1 : page_.samples_per_pixel) * page_.samples.bits + 7) / 8;
  const auto impossible = [&] {
    return Error(
        fmt::format("{}: tiles of {} x {} are not possible (is the file damaged?)", what, high, wide));
  };
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;
  if (wide < 1 || high < 1 || row_bytes > kMostBytes / high / deep) throw impossible();
  const std::int64_t tile_bytes = row_bytes * high * deep;
  const bool is_deep = deep > 1;  // the library decodes only the first section of such a tile
  if (is_deep && tiff_tag(file_.get(), TIFFTAG_COMPRESSION, COMPRESSION_NONE) != COMPRESSION_NONE)
    throw Error(what + ": compressed tiles of several sections cannot be read: save each section as a page");
  if ((!is_deep && TIFFTileSize(file_.get()) != tile_bytes) ||
      static_cast<std::uint64_t>(tile_bytes) / layout_.most_compressed() > file_.bytes())
    throw impossible();
  std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes));
  const std::int64_t sample = size_of(type());
  for (std::int64_t y = 0; y < page_.height; y += high) {
    for (std::int64_t x = 0; x < page_.width; x += wide) {
      const std::uint32_t index =
          TIFFComputeTile(file_.get(), static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y),
                          static_cast<std::uint32_t>(plane.depth),
                          page_.separate ? static_cast<std::uint16_t>(plane.sample) : 0);
      const tmsize_t got = is_deep ? TIFFReadRawTile(file_.get(), index, tile.data(), tile_bytes)
                                   : TIFFReadEncodedTile(file_.get(), index, tile.data(), tile_bytes);
      if (got != tile_bytes) {
        throw Error(
            fmt::format("{}, tile at row {}, column {}: {} (is the file damaged or truncated?)", what, y, x,
                        got < 0 ? file_.reason() : fmt::format("{} bytes instead of {}", got, tile_bytes)));
      }
      if (is_deep) make_native(tile);
      const std::int64_t first_row = plane.depth % deep * high;
      for (std::int64_t row = 0; row < std::min(high, page_.height - y); ++row) {
        convert_row(plane,
                    std::span(tile).subspan(static_cast<std::size_t>((first_row + row) * row_bytes),
                                            static_cast<std::size_t>(row_bytes)),
                    voxels.subspan(static_cast<std::size_t>(((y + row) * page_.width + x) * sample),
                                   static_cast<std::size_t>(std::min(wide, page_.width - x) * sample)),
                    what);
      }
    }
  }
}

/// Does what the library does to samples that it decodes.
void TiffReader::make_native(std::span<std::byte> stored) const {
  const int bits = page_.samples.bits;
  const bool swaps = file_.is_big_endian() == (std::endian::native == std::endian::little);
  if (swaps && bits % 8 == 0 && bits > 8) {
    for (std::size_t at = 0; at < stored.size(); at += static_cast<std::size_t>(bits / 8))
      std::reverse(stored.begin() + static_cast<std::ptrdiff_t>(at),
                   stored.begin() + static_cast<std::ptrdiff_t>(at) + bits / 8);
  }
  if (bits < 8 && tiff_tag(file_.get(), TIFFTAG_FILLORDER, FILLORDER_MSB2LSB) != FILLORDER_MSB2LSB)
    TIFFReverseBits(reinterpret_cast<std::uint8_t*>(stored.data()), std::ssize(stored));
}

void TiffReader::read_contiguous(const TiffLayout::Plane& plane, std::span<std::byte> voxels,
                                 const std::string& what) {
  const std::int64_t row_bytes = page_.row_bytes(), voxel_row = page_.width * size_of(type());
  std::vector<std::byte> stored(static_cast<std::size_t>(page_.height * row_bytes));
  const std::int64_t number = page_.depth > 1 ? plane.depth : plane.page;
  file_.read_at(layout_.contiguous_at() + static_cast<std::uint64_t>(number) * stored.size(), stored, what);
  make_native(stored);
  for (std::int64_t y = 0; y < page_.height; ++y) {
    convert_row(plane,
                std::span(stored).subspan(static_cast<std::size_t>(y * row_bytes),
                                          static_cast<std::size_t>(row_bytes)),
                voxels.subspan(static_cast<std::size_t>(y * voxel_row), static_cast<std::size_t>(voxel_row)),
                what);
  }
}

}  // namespace tessera
