#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "io/geometry/voxel_type.h"

namespace tessera {

/// How an image file stores one sample of a pixel.
struct StoredSamples {
  enum class Kind { unsigned_integer, signed_integer, floating_point };

  int bits = 8;
  Kind kind = Kind::unsigned_integer;

  bool operator==(const StoredSamples&) const = default;
};

/// "12-bit unsigned".
std::string to_string(const StoredSamples& samples);

/// The voxels that the samples become. Integers of 1 to 8 bits: uint8; 9 to 16: uint16; 32: uint32; 64:
/// uint64, also from signed ones. Floating point of 16, 32 and 64 bits: float32.
/// Errors: Error that begins with `what` for other widths.
VoxelType voxel_type_of(const StoredSamples& samples, const std::string& what);

/// Converts samples first, first + step, ... of a row, as many as `voxels` holds. Samples of 8 or more bits
/// that fill whole bytes are in native byte order; others follow each other bit by bit, the highest bit
/// first.
/// Errors: Error that begins with `what` for a negative integer, and for a 64-bit floating-point number that
/// float32 cannot hold: too large, or a whole number (a label) that would be rounded.
void convert_samples(const StoredSamples& samples, std::span<const std::byte> row, std::int64_t first,
                     std::int64_t step, std::span<std::byte> voxels, const std::string& what);

/// Makes 0 the brightest value: v becomes 2^bits - 1 - v. `type`: an unsigned integer.
void invert_voxels(int bits, VoxelType type, std::span<std::byte> voxels);

}  // namespace tessera
