#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "io/images/image_options.h"

namespace tessera {

/// A PNG image in memory: row-major from the top, channels interleaved, 16-bit samples in native byte order.
struct PngImage {
  std::int64_t height = 0, width = 0;
  int channels = 1;  ///< 1: grey, 3: RGB
  int bits = 8;      ///< per sample: 8 or 16
  std::vector<std::byte> bytes;
};

/// The bytes of a PNG file with height * width * channels samples of 8 bits (1 channel: grey, 3: RGB).
/// Errors: Error for a size that PNG does not have.
std::vector<std::byte> png_bytes(std::int64_t height, std::int64_t width, int channels,
                                 std::span<const std::uint8_t> pixels);
/// The same, of height * width grey samples of 16 bits.
std::vector<std::byte> png_bytes(std::int64_t height, std::int64_t width,
                                 std::span<const std::uint16_t> pixels);

/// Writes png_bytes() by replace_file(). Errors: Error; an old file stays.
void write_png(const std::filesystem::path& file, std::int64_t height, std::int64_t width, int channels,
               std::span<const std::uint8_t> pixels);

/// Reads a grey image of 8 or 16 bits, interlaced or not (fewer bits are scaled up to 8, unless
/// `options.indices` is set), the indices of a palette image, or one channel of a colour image.
/// Errors: Error with the file's name when it is missing, not PNG, damaged, truncated or animated; UsageError
/// when it has a palette, channels or a transparent level and `options` does not decide what to read.
PngImage read_png(const std::filesystem::path& file, const ImageOptions& options = {});

}  // namespace tessera
