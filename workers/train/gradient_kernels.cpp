#include "workers/train/gradient_kernels.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>

namespace tessera {
namespace {

/// bfloat16 is the upper half of a float32.
struct Bfloat16 {
  std::uint16_t bits;
};

inline float to_float(float value) {
  return value;
}
inline float to_float(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
template <class T>
inline T from_float(float value) {
  if constexpr (sizeof(T) == 4) {
    return value;
  } else {
    // To the nearest, halves to even. A NaN may become an infinity: both stop a training.
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
  }
}
inline bool is_positive(float value) {
  return value > 0;
}
inline bool is_positive(Bfloat16 value) {
  return static_cast<std::int16_t>(value.bits) > 0;
}
inline bool same(float a, float b) {
  return a == b;
}
inline bool same(Bfloat16 a, Bfloat16 b) {
  return a.bits == b.bits;
}

template <class T>
void rectify(const T* __restrict image, T* __restrict gradient, std::int64_t count, float scale) {
  if (scale == 1) {
    for (std::int64_t i = 0; i < count; ++i)
      gradient[i] = is_positive(image[i]) ? gradient[i] : T{0};
  } else {
    for (std::int64_t i = 0; i < count; ++i)
      gradient[i] = is_positive(image[i]) ? from_float<T>(scale * to_float(gradient[i])) : T{0};
  }
}

/// One pixel of the pooled image: its gradient to the four pixels it came from.
template <class T>
void route(const T* const __restrict image[4], const T* __restrict pooled, const T* __restrict gradient,
           T* const __restrict result[4], std::int64_t channels) {
  const T *a = image[0], *b = image[1], *c = image[2];
  T *to_a = result[0], *to_b = result[1], *to_c = result[2], *to_d = result[3];
  for (std::int64_t i = 0; i < channels; ++i) {
    const T most = pooled[i], value = is_positive(most) ? gradient[i] : T{0};
    const bool is_a = same(a[i], most), is_b = !is_a && same(b[i], most),
               is_c = !is_a && !is_b && same(c[i], most), is_d = !is_a && !is_b && !is_c;
    to_a[i] = is_a ? value : T{0};
    to_b[i] = is_b ? value : T{0};
    to_c[i] = is_c ? value : T{0};
    to_d[i] = is_d ? value : T{0};
  }
}

template <class T>
void add_copied(const T* __restrict image, const T* __restrict copied, T* __restrict result,
                std::int64_t channels) {
  for (std::int64_t i = 0; i < channels; ++i) {
    const float sum = to_float(result[i]) + to_float(copied[i]);
    result[i] = is_positive(image[i]) ? from_float<T>(sum) : T{0};
  }
}

template <class T>
void scale_all(T* values, std::int64_t count, float scale) {
  for (std::int64_t i = 0; i < count; ++i)
    values[i] = from_float<T>(scale * to_float(values[i]));
}

template <class T>
void join(const JoinedGradient& j) {
  const auto* image = reinterpret_cast<const T*>(j.image);
  const auto* pooled = reinterpret_cast<const T*>(j.pooled);
  const auto* pooled_gradient = reinterpret_cast<const T*>(j.pooled_gradient);
  const auto* copied = reinterpret_cast<const T*>(j.crop_gradient);
  auto* result = reinterpret_cast<T*>(j.gradient);
  const std::int64_t width = j.shape.width, channels = j.shape.channels;
  const std::int64_t top = (j.shape.height - j.crop_height) / 2, left = (width - j.crop_width) / 2;
  at::parallel_for(0, j.shape.height / 2, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t column = 0; column < width / 2; ++column) {
        const std::int64_t first = (2 * row * width + 2 * column) * channels, below = width * channels,
                           at = (row * (width / 2) + column) * channels;
        const T* const from[4] = {image + first, image + first + channels, image + first + below,
                                  image + first + below + channels};
        T* const to[4] = {result + first, result + first + channels, result + first + below,
                          result + first + below + channels};
        route<T>(from, pooled + at, pooled_gradient + at, to, channels);
      }
      for (std::int64_t y = std::max(2 * row, top); y < std::min(2 * row + 2, top + j.crop_height); ++y) {
        for (std::int64_t x = left; x < left + j.crop_width; ++x) {
          const std::int64_t at = (y * width + x) * channels;
          add_copied<T>(image + at, copied + ((y - top) * j.crop_width + x - left) * j.crop_channels,
                        result + at, channels);
        }
      }
      if (j.scale != 1) scale_all(result + 2 * row * width * channels, 2 * width * channels, j.scale);
    }
  });
}

}  // namespace

void rectify_gradient(Precision precision, const std::byte* image, std::byte* gradient,
                      const ImageShape& shape, float scale) {
  const std::int64_t row = shape.width * shape.channels;
  at::parallel_for(0, shape.height, 1, [&](std::int64_t begin, std::int64_t end) {
    if (precision == Precision::float32) {
      rectify(reinterpret_cast<const float*>(image) + begin * row,
              reinterpret_cast<float*>(gradient) + begin * row, (end - begin) * row, scale);
    } else {
      rectify(reinterpret_cast<const Bfloat16*>(image) + begin * row,
              reinterpret_cast<Bfloat16*>(gradient) + begin * row, (end - begin) * row, scale);
    }
  });
}

void join_gradients(Precision precision, const JoinedGradient& joined) {
  precision == Precision::float32 ? join<float>(joined) : join<Bfloat16>(joined);
}

void turn_kernels(const float* weights, std::int64_t out, std::int64_t in, std::int64_t side, float* turned) {
  const std::int64_t area = side * side;
  at::parallel_for(0, in, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float* from = weights + (o * in + i) * area;
        float* to = turned + (i * out + o) * area;
        for (std::int64_t k = 0; k < area; ++k)
          to[k] = from[area - 1 - k];
      }
    }
  });
}

}  // namespace tessera
