#include "io/images/stored_samples.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "io/base/error.h"
#include "io/base/float_narrowing.h"

namespace tessera {
namespace {

using Kind = StoredSamples::Kind;

/// The sample of that number, for a type that fills whole bytes.
template <class T>
T sample_at(std::span<const std::byte> row, std::int64_t number) {
  T value{};
  std::memcpy(&value, row.data() + static_cast<std::size_t>(number) * sizeof(T), sizeof(T));
  return value;
}

unsigned packed_sample_at(std::span<const std::byte> row, std::int64_t number, int bits) {
  unsigned value = 0;
  const std::int64_t first = number * bits;
  for (std::int64_t bit = first; bit < first + bits; ++bit) {
    const auto byte = std::to_integer<unsigned>(row[static_cast<std::size_t>(bit / 8)]);
    value = value << 1 | (byte >> (7 - bit % 8) & 1U);
  }
  return value;
}

/// IEEE 754 binary16.
float half_to_float(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  float value = 0;
  if (exponent == 31)
    value = fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  else if (exponent == 0)
    value = std::ldexp(static_cast<float>(fraction), -24);
  else
    value = std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (bits & 0x8000) != 0 ? -value : value;
}

float double_to_float(double value, const std::string& what) {
  if (const std::optional<float> narrow = float32_of(value)) return *narrow;
  throw Error(fmt::format(
      "{}: float32 cannot hold its 64-bit value {:.17g}: save it as float32, or labels as integers", what,
      value));
}

template <class T>
void convert_unsigned(std::span<const std::byte> row, std::int64_t first, std::int64_t step,
                      std::span<std::byte> voxels) {
  auto* to = reinterpret_cast<T*>(voxels.data());
  const std::size_t count = voxels.size() / sizeof(T);
  if (step == 1) {
    std::memcpy(to, row.data() + static_cast<std::size_t>(first) * sizeof(T), voxels.size());
    return;
  }
  for (std::size_t i = 0; i < count; ++i)
    to[i] = sample_at<T>(row, first + static_cast<std::int64_t>(i) * step);
}

template <class T>
void require_not_negative(std::span<const std::byte> voxels, const std::string& what) {
  const std::span values(reinterpret_cast<const T*>(voxels.data()), voxels.size() / sizeof(T));
  for (const T value : values) {
    if (value < 0) {
      throw Error(
          fmt::format("{}: it holds the negative value {}, and volumes hold unsigned integers: add a "
                      "constant, or save it as float32",
                      what, value));
    }
  }
}

}  // namespace

std::string to_string(const StoredSamples& samples) {
  return fmt::format("{}-bit {}", samples.bits,
                     samples.kind == Kind::unsigned_integer ? "unsigned"
                     : samples.kind == Kind::signed_integer ? "signed"
                                                            : "floating-point");
}

VoxelType voxel_type_of(const StoredSamples& samples, const std::string& what) {
  const int bits = samples.bits;
  if (samples.kind == Kind::floating_point) {
    if (bits == 16 || bits == 32 || bits == 64) return VoxelType::float32;
  } else if (samples.kind == Kind::unsigned_integer || bits % 8 == 0) {
    if (bits >= 1 && bits <= 8) return VoxelType::uint8;
    if (bits >= 9 && bits <= 16) return VoxelType::uint16;
    if (bits == 32) return VoxelType::uint32;
    if (bits == 64) return VoxelType::uint64;
  }
  throw Error(
      fmt::format("{} has {} samples; integers of 8, 16, 32 and 64 bits, unsigned ones of 1 to 16 bits, and "
                  "floating point of 16, 32 and 64 bits can be read: save it as one of these",
                  what, to_string(samples)));
}

void convert_samples(const StoredSamples& samples, std::span<const std::byte> row, std::int64_t first,
                     std::int64_t step, std::span<std::byte> voxels, const std::string& what) {
  const int bits = samples.bits;
  if (samples.kind == Kind::floating_point && bits != 32) {
    auto* to = reinterpret_cast<float*>(voxels.data());
    for (std::size_t i = 0; i < voxels.size() / sizeof(float); ++i) {
      const std::int64_t number = first + static_cast<std::int64_t>(i) * step;
      to[i] = bits == 16 ? half_to_float(sample_at<std::uint16_t>(row, number))
                         : double_to_float(sample_at<double>(row, number), what);
    }
    return;
  }
  if (bits < 16 && bits != 8) {
    for (std::size_t i = 0; i < voxels.size() / (bits > 8 ? 2 : 1); ++i) {
      const unsigned value = packed_sample_at(row, first + static_cast<std::int64_t>(i) * step, bits);
      if (bits > 8)
        reinterpret_cast<std::uint16_t*>(voxels.data())[i] = static_cast<std::uint16_t>(value);
      else
        voxels[i] = static_cast<std::byte>(value);
    }
    return;
  }
  const bool is_signed = samples.kind == Kind::signed_integer;
  switch (bits) {
    case 8:
      convert_unsigned<std::uint8_t>(row, first, step, voxels);
      return is_signed ? require_not_negative<std::int8_t>(voxels, what) : void();
    case 16:
      convert_unsigned<std::uint16_t>(row, first, step, voxels);
      return is_signed ? require_not_negative<std::int16_t>(voxels, what) : void();
    case 32:
      convert_unsigned<std::uint32_t>(row, first, step, voxels);
      return is_signed ? require_not_negative<std::int32_t>(voxels, what) : void();
    default:
      convert_unsigned<std::uint64_t>(row, first, step, voxels);
      return is_signed ? require_not_negative<std::int64_t>(voxels, what) : void();
  }
}

void invert_voxels(int bits, VoxelType type, std::span<std::byte> voxels) {
  assert(type != VoxelType::float32 && type != VoxelType::float16);
  with_voxel_type(type, [&](auto zero) {
    using T = decltype(zero);
    const std::span values(reinterpret_cast<T*>(voxels.data()), voxels.size() / sizeof(T));
    const auto highest = static_cast<T>(~std::uint64_t{0} >> (64 - bits));
    for (T& value : values)
      value = static_cast<T>(highest - value);
  });
}

}  // namespace tessera
