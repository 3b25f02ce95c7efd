// Convolutions with a fixed reduction order: by the taps' rows, their columns, the channels. For compute
// capability 8.0 and later (README.md). A step has four 16-byte vectors.
#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 800

#ifdef __CUDACC__
/// Loads four matrices of 8 x 8 values of 2 bytes. Thread i of a warp gives the address of row i % 8 of
/// matrix i / 8. It gets the values 2 (i % 4) and 2 (i % 4) + 1 in row i / 4 of each matrix.
__device__ inline void load_matrices(unsigned int (&to)[4], const Vector* row) {
  const unsigned int place = static_cast<unsigned int>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place)
               : "memory");
}
/// Adds the product of 16 pixels and 8 filters, 16 terms each (PTX mma.m16n8k16). Thread i of the warp holds:
/// - pixels: terms 2 (i % 4) and the next, of pixels i / 4 and i / 4 + 8; then the same of terms 8 to 15;
/// - filters: the same terms of filter i / 4;
/// - sums: pixel i / 4 with filters 2 (i % 4) and the next; then the same of pixel i / 4 + 8.
#define TESSERA_MULTIPLY(type)                                                                \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                         \
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "                          \
               "{%0, %1, %2, %3};"                                                            \
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                   \
               : "r"(pixels[0]), "r"(pixels[1]), "r"(pixels[2]), "r"(pixels[3]), "r"(filter), \
                 "r"(filter_later))
__device__ inline void multiply(Bfloat16, float (&sums)[4], const unsigned int (&pixels)[4],
                                unsigned int filter, unsigned int filter_later) {
  TESSERA_MULTIPLY("bf16");
}
__device__ inline void multiply(Float16, float (&sums)[4], const unsigned int (&pixels)[4],
                                unsigned int filter, unsigned int filter_later) {
  TESSERA_MULTIPLY("f16");
}
#endif

/// The index of a line's vector in a step; a line is a pixel or a filter. Vectors of the same number of 8
/// consecutive lines are in different banks.
__device__ inline int bank_place(int line, int vector) {
  return line * 4 + (vector ^ ((line / 2) % 4));
}

/// The next vector of a pixel's terms: its tap, and its offset in vectors from what the first tap reads.
struct Term {
  int tap, across, vector, offset;
  __device__ void advance(int by, const Convolution& c) {
    vector += by;
    offset += by;
    while (vector >= c.vectors) {
      vector -= c.vectors;
      ++tap;
      if (++across == c.side) across = 0, offset += (c.width - c.side) * c.vectors;
    }
  }
};

/// Sums of Bfloat16 or Float16 in float32 by tensor cores: 8 warps, kWarpsDown of them along the pixels.
template <class Type, int kPixelsOfBlock, int kFiltersOfBlock, int kWarpsDown>
struct TensorSums {
  using Value = unsigned short;
  static constexpr int kPixels = kPixelsOfBlock, kFilters = kFiltersOfBlock;
  static constexpr int kDown = kPixels / kWarpsDown, kAcross = kFilters * kWarpsDown / 8;  ///< of a warp
  static_assert(kDown % 16 == 0 && kAcross % 16 == 0);
  float sums[kDown / 16][kAcross / 8][4];

  __device__ void add(const Vector* pixels, const Vector* filters) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int down = warp % kWarpsDown * kDown, across = warp / kWarpsDown * kAcross;
    // The lines of a thread are 16 apart. So their vectors of the same number have equal bank places, and
    // those of the number + 2 differ by one bit.
    const int first_of_pixels = down * 4 + bank_place(lane % 16, lane / 16);
    const int first_of_filters = across * 4 + bank_place(lane / 16 * 8 + lane % 8, lane / 8 % 2);
    TESSERA_UNROLL
    for (int vector = 0; vector < 4; vector += 2) {
      const Vector* const some_pixels = pixels + (first_of_pixels ^ vector);
      const Vector* const some_filters = filters + (first_of_filters ^ vector);
      unsigned int of_filters[kAcross / 16][4];
      TESSERA_UNROLL
      for (int j = 0; j < kAcross / 16; ++j)
        load_matrices(of_filters[j], some_filters + 64 * j);
      TESSERA_UNROLL
      for (int i = 0; i < kDown / 16; ++i) {
        unsigned int of_pixels[4];
        load_matrices(of_pixels, some_pixels + 64 * i);
        TESSERA_UNROLL
        for (int j = 0; j < kAcross / 8; ++j)
          multiply(Type(), sums[i][j], of_pixels, of_filters[j / 2][j % 2 * 2],
                   of_filters[j / 2][j % 2 * 2 + 1]);
      }
    }
  }

  /// Adds the bias, applies ReLU, and writes whole vectors by way of shared memory.
  __device__ void store(Vector* shared, const Value* bias, Value* out, const Convolution& c) const {
    constexpr int kVectors = kFilters / 8;  // of a pixel
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int down = warp % kWarpsDown * kDown + lane / 4, across = warp / kWarpsDown * kAcross;
    TESSERA_UNROLL
    for (int j = 0; j < kAcross / 8; ++j) {
      const int filter = static_cast<int>(blockIdx.y) * kFilters + across + 8 * j + lane % 4 * 2;
      const float first = filter < c.filters ? Type::value(bias[filter]) : 0;
      const float second = filter < c.filters ? Type::value(bias[filter + 1]) : 0;
      TESSERA_UNROLL
      for (int i = 0; i < kDown / 16 * 2; ++i) {
        const int pixel = down + 8 * i;
        const float a = sums[i / 2][j][i % 2 * 2] + first, b = sums[i / 2][j][i % 2 * 2 + 1] + second;
        const unsigned int pair = c.rectify != 0 ? Type::pair(rectified(a), rectified(b)) : Type::pair(a, b);
        shared[pixel * kVectors + ((across / 8 + j) ^ (pixel % 8))].words[lane % 4] = pair;
      }
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kPixels * kVectors; i += 256) {
      const int line = i / kVectors, vector = i % kVectors;
      const int pixel = static_cast<int>(blockIdx.x) * kPixels + line,
                filter = static_cast<int>(blockIdx.y) * kFilters + 8 * vector;
      if (pixel >= c.pixels || filter >= c.filters) continue;
      *reinterpret_cast<Vector*>(out + static_cast<long long>(pixel) * c.filters + filter) =
          shared[line * kVectors + (vector ^ (line % 8))];
    }
  }
};

/// Sums of float32: each of a thread's pixels with each of its filters.
template <int kPixelsOfBlock, int kFiltersOfBlock>
struct FloatSums {
  using Value = float;
  static constexpr int kPixels = kPixelsOfBlock, kFilters = kFiltersOfBlock;
  float sums[kPixels / 16][kFilters / 16];

  __device__ void add(const Vector* pixels, const Vector* filters) {
    const int down = threadIdx.x / 16, across = threadIdx.x % 16;
    TESSERA_NO_UNROLL  // unrolled, it would need too many registers
        for (int vector = 0; vector < 4; ++vector) {
      Vector of_filters[kFilters / 16];
      TESSERA_UNROLL
      for (int j = 0; j < kFilters / 16; ++j)
        of_filters[j] = filters[bank_place(across + 16 * j, vector)];
      TESSERA_UNROLL
      for (int i = 0; i < kPixels / 16; ++i) {
        const Vector of_pixel = pixels[bank_place(down + 16 * i, vector)];
        TESSERA_UNROLL
        for (int term = 0; term < 4; ++term) {
          TESSERA_UNROLL
          for (int j = 0; j < kFilters / 16; ++j)
            sums[i][j] = __fmaf_rn(__uint_as_float(of_pixel.words[term]),
                                   __uint_as_float(of_filters[j].words[term]), sums[i][j]);
        }
      }
    }
  }

  __device__ void store(Vector*, const Value* bias, Value* out, const Convolution& c) const {
    const int down = threadIdx.x / 16, across = threadIdx.x % 16;
    TESSERA_UNROLL
    for (int j = 0; j < kFilters / 16; ++j) {
      const int filter = static_cast<int>(blockIdx.y) * kFilters + across + 16 * j;
      if (filter >= c.filters) continue;
      TESSERA_UNROLL
      for (int i = 0; i < kPixels / 16; ++i) {
        const int pixel = static_cast<int>(blockIdx.x) * kPixels + down + 16 * i;
        const float sum = sums[i][j] + bias[filter];
        if (pixel < c.pixels)
          out[static_cast<long long>(pixel) * c.filters + filter] = c.rectify != 0 ? rectified(sum) : sum;
      }
    }
  }
};

/// Block (x, y) computes the x-th group of pixels and the y-th group of filters.
template <class Sums, int kStages>
__device__ inline void convolve(const Vector* __restrict__ image, const Vector* __restrict__ weight,
                                const typename Sums::Value* __restrict__ bias,
                                typename Sums::Value* __restrict__ out, const Convolution& c) {
  constexpr int kPixels = Sums::kPixels, kFilters = Sums::kFilters;
  constexpr int kLines = 64;  // of which all threads together copy a vector each
  static_assert(kPixels % kLines == 0 && kFilters % kLines == 0);
  __shared__ Vector steps[kStages][(kPixels + kFilters) * 4];
  const int line = static_cast<int>(threadIdx.x) / 4, vector = static_cast<int>(threadIdx.x) % 4;

  Seen seen[kPixels / kLines];
  TESSERA_UNROLL
  for (int i = 0; i < kPixels / kLines; ++i)
    seen[i] = seen_by(static_cast<int>(blockIdx.x) * kPixels + i * kLines + line, image, c);
  const int terms = c.side * c.side * c.vectors;
  const Vector* filters[kFilters / kLines];
  bool is_filter[kFilters / kLines];
  TESSERA_UNROLL
  for (int i = 0; i < kFilters / kLines; ++i) {
    const int filter = static_cast<int>(blockIdx.y) * kFilters + i * kLines + line;
    is_filter[i] = filter < c.filters;
    filters[i] = weight + static_cast<long long>(filter) * terms + vector;
  }

  Term next = {0, 0, 0, 0};
  next.advance(vector, c);
  int begun = 0;  // steps whose copies have started
  const int count = (terms + 3) / 4;
  const auto begin_step = [&](Vector* to) {
    if (begun < count) {
      const bool is_term = 4 * begun + vector < terms;
      TESSERA_UNROLL
      for (int i = 0; i < kPixels / kLines; ++i)
        copy_vector(to + bank_place(line, vector) + i * kLines * 4, seen[i].first + next.offset,
                    ((seen[i].inside >> next.tap) & 1U) != 0);
      TESSERA_UNROLL
      for (int i = 0; i < kFilters / kLines; ++i)
        copy_vector(to + bank_place(line, vector) + (kPixels + i * kLines) * 4, filters[i] + 4 * begun,
                    is_term && is_filter[i]);
      next.advance(4, c);
      ++begun;
    }
    end_step();
  };

  Sums all = {};
  TESSERA_UNROLL
  for (int i = 0; i < kStages - 1; ++i)
    begin_step(steps[i]);
  int stage = 0, free = kStages - 1;
  for (int step = 0; step < count; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // all threads' copies of this step have ended, and nobody reads the step before it
    begin_step(steps[free]);
    all.add(steps[stage], steps[stage] + kPixels * 4);
    if (++stage == kStages) stage = 0;
    if (++free == kStages) free = 0;
  }
  __syncthreads();
  all.store(steps[0], bias, out, c);
}

#define TESSERA_CONVOLUTION(name, blocks, Value, Sums, stages)                       \
  extern "C" __global__ void __launch_bounds__(256, blocks)                          \
      name(const Vector* __restrict__ image, const Vector* __restrict__ weight,      \
           const Value* __restrict__ bias, Value* __restrict__ out, Convolution c) { \
    convolve<Sums, stages>(image, weight, bias, out, c);                             \
  }
#define TESSERA_TYPE(...) __VA_ARGS__
TESSERA_CONVOLUTION(tessera_convolve_bfloat16_large, 2, unsigned short,
                    TESSERA_TYPE(TensorSums<Bfloat16, 128, 128, 2>), 3)
TESSERA_CONVOLUTION(tessera_convolve_bfloat16_narrow, 2, unsigned short,
                    TESSERA_TYPE(TensorSums<Bfloat16, 256, 64, 4>), 2)
TESSERA_CONVOLUTION(tessera_convolve_bfloat16_small, 3, unsigned short,
                    TESSERA_TYPE(TensorSums<Bfloat16, 64, 64, 2>), 4)
TESSERA_CONVOLUTION(tessera_convolve_float16_large, 2, unsigned short,
                    TESSERA_TYPE(TensorSums<Float16, 128, 128, 2>), 3)
TESSERA_CONVOLUTION(tessera_convolve_float16_narrow, 2, unsigned short,
                    TESSERA_TYPE(TensorSums<Float16, 256, 64, 4>), 2)
TESSERA_CONVOLUTION(tessera_convolve_float16_small, 3, unsigned short,
                    TESSERA_TYPE(TensorSums<Float16, 64, 64, 2>), 4)
TESSERA_CONVOLUTION(tessera_convolve_float32_large, 2, float, TESSERA_TYPE(FloatSums<128, 128>), 3)
TESSERA_CONVOLUTION(tessera_convolve_float32_narrow, 2, float, TESSERA_TYPE(FloatSums<256, 64>), 2)
TESSERA_CONVOLUTION(tessera_convolve_float32_small, 3, float, TESSERA_TYPE(FloatSums<64, 64>), 4)

#endif
