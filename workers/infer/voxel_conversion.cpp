#include "workers/infer/voxel_conversion.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <vector>

#include "io/base/error.h"
#include "io/geometry/mirror.h"

namespace tessera {
namespace {

template <class T>
void normalise_run(const T* from, float* to, std::int64_t count, float mean, float std) {
  for (std::int64_t i = 0; i < count; ++i)
    to[i] = (static_cast<float>(from[i]) - mean) / std;
}

template <class T>
void cut_rows(const VoxelBuffer& held, const Box& held_box, const Box& box, const Index3& shape,
              const std::function<Normalisation(std::int64_t)>& normalisation, std::span<float> out) {
  const auto values = held.as<T>();
  const Index3 cut = box.shape();
  std::vector<std::int64_t> columns(static_cast<std::size_t>(cut.x));
  for (std::int64_t x = 0; x < cut.x; ++x)
    columns[static_cast<std::size_t>(x)] = mirror_index(box.begin.x + x, shape.x) - held_box.begin.x;
  // The part of a row inside the volume is contiguous.
  const std::int64_t run_begin = std::clamp<std::int64_t>(-box.begin.x, 0, cut.x);
  const std::int64_t run_end = std::clamp<std::int64_t>(shape.x - box.begin.x, run_begin, cut.x);
  std::vector<Normalisation> norms;
  for (std::int64_t z = 0; z < cut.z; ++z)
    norms.push_back(normalisation(mirror_index(box.begin.z + z, shape.z)));
  constexpr std::int64_t kRowsPerThread = 64;
  at::parallel_for(
      0, held.channels * cut.z * cut.y, kRowsPerThread, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
          const std::int64_t c = row / (cut.z * cut.y), z = row / cut.y % cut.z, y = row % cut.y;
          const std::int64_t source_z = mirror_index(box.begin.z + z, shape.z) - held_box.begin.z;
          const std::int64_t source_y = mirror_index(box.begin.y + y, shape.y) - held_box.begin.y;
          const T* from =
              values.data() + ((c * held.shape.z + source_z) * held.shape.y + source_y) * held.shape.x;
          float* to = out.data() + row * cut.x;
          const auto mean = static_cast<float>(norms[static_cast<std::size_t>(z)].mean);
          const auto std = static_cast<float>(norms[static_cast<std::size_t>(z)].std);
          const auto single = [&](std::int64_t x) {
            normalise_run(from + columns[static_cast<std::size_t>(x)], to + x, 1, mean, std);
          };
          for (std::int64_t x = 0; x < run_begin; ++x)
            single(x);
          if (run_end > run_begin) {
            normalise_run(from + columns[static_cast<std::size_t>(run_begin)], to + run_begin,
                          run_end - run_begin, mean, std);
          }
          for (std::int64_t x = run_end; x < cut.x; ++x)
            single(x);
        }
      });
}

/// Inlined twice. With the constant stride 1 the compiler vectorises it.
[[gnu::always_inline]] inline bool quantise_run(const float* values, std::int64_t stride, std::int64_t count,
                                                std::uint8_t* out) {
  // Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the lowest bits. In a NaN and in an
  // infinity all exponent bits are set.
  constexpr float kMagic = 12582912.0F;
  constexpr std::uint32_t kExponent = 0x7F800000U;
  std::uint32_t spoilt = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = values[i * stride];
    spoilt |= (std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent ? 1U : 0U;
    float scaled = value * 255.0F;
    scaled = scaled > 0.0F ? scaled : 0.0F;
    scaled = scaled < 255.0F ? scaled : 255.0F;
    out[i] = static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(scaled + kMagic) & 0xFFU);
  }
  return spoilt == 0;
}

}  // namespace

void cut_normalised(const VoxelBuffer& held, const Box& held_box, const Box& box, const Index3& shape,
                    const std::function<Normalisation(std::int64_t z)>& normalisation, std::span<float> out) {
  assert(static_cast<std::int64_t>(out.size()) == held.channels * box.voxels());
  switch (held.type) {
    case VoxelType::uint8:
      return cut_rows<std::uint8_t>(held, held_box, box, shape, normalisation, out);
    case VoxelType::uint16:
      return cut_rows<std::uint16_t>(held, held_box, box, shape, normalisation, out);
    case VoxelType::float32:
      return cut_rows<float>(held, held_box, box, shape, normalisation, out);
    default:
      break;
  }
  throw UsageError(
      fmt::format("raw voxels of {} are not supported: use uint8, uint16 or float32", name_of(held.type)));
}

bool quantise(const float* values, std::int64_t stride, std::int64_t count, std::uint8_t* out) {
  return stride == 1 ? quantise_run(values, 1, count, out) : quantise_run(values, stride, count, out);
}

}  // namespace tessera
