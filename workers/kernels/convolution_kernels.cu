// Convolutions that sum in one order: by the taps' rows, their columns, the channels. NVRTC compiles this
// file, behind bfloat16.cu and pieces.cu, where the program runs, for devices from compute capability 8.0 on;
// a test compiles it as plain C++. Steps are of four pieces.
#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 800

#ifdef __CUDACC__
/// Four matrices of 8 x 8 values of 2 bytes: thread i of a warp names row i % 8 of matrix i / 8, and gets of
/// each matrix the values 2 (i % 4) and the next in row i / 4.
__device__ inline void load_matrices(unsigned int (&to)[4], const Piece* row) {
  const unsigned int place = static_cast<unsigned int>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place)
               : "memory");
}
/// Adds the product of 16 pixels' and 8 filters' 16 terms. Of the pixels a thread i of the warp has terms 2
/// (i % 4) and the next of pixels i / 4 and i / 4 + 8, then both of the second eight terms; of the filters
/// the same terms of filter i / 4; of the sums those of pixel i / 4 and filters 2 (i % 4) and the next, then
/// both of pixel i / 4 + 8.
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

/// Where a piece of a line, a pixel's or a filter's, is in a step: eight lines' pieces of one number lie in
/// different banks.
__device__ inline int placed(int line, int piece) {
  return line * 4 + (piece ^ ((line / 2) % 4));
}

/// Which piece of a pixel's terms comes next: of which tap, and where it is, in pieces from what the first
/// tap sees.
struct Term {
  int tap, across, piece, offset;
  __device__ void advance(int by, const Convolution& c) {
    piece += by;
    offset += by;
    while (piece >= c.pieces) {
      piece -= c.pieces;
      ++tap;
      if (++across == c.side) across = 0, offset += (c.width - c.side) * c.pieces;
    }
  }
};

/// Sums of Bfloat16 or Float16 in float32 by tensor cores: eight warps, kWarpsDown of them along the pixels.
template <class Type, int kPixelsOfBlock, int kFiltersOfBlock, int kWarpsDown>
struct TensorSums {
  using Value = unsigned short;
  static constexpr int kPixels = kPixelsOfBlock, kFilters = kFiltersOfBlock;
  static constexpr int kDown = kPixels / kWarpsDown, kAcross = kFilters * kWarpsDown / 8;  ///< of a warp
  static_assert(kDown % 16 == 0 && kAcross % 16 == 0);
  float sums[kDown / 16][kAcross / 8][4];

  __device__ void add(const Piece* pixels, const Piece* filters) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int down = warp % kWarpsDown * kDown, across = warp / kWarpsDown * kAcross;
    // The lines that a thread names are 16 apart, so that their pieces of one number are equally placed, and
    // so are those of 2 more but for a bit.
    const int first_of_pixels = down * 4 + placed(lane % 16, lane / 16);
    const int first_of_filters = across * 4 + placed(lane / 16 * 8 + lane % 8, lane / 8 % 2);
    TESSERA_UNROLL
    for (int piece = 0; piece < 4; piece += 2) {
      const Piece* const some_pixels = pixels + (first_of_pixels ^ piece);
      const Piece* const some_filters = filters + (first_of_filters ^ piece);
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

  /// With bias and ReLU, through shared memory, so that pieces are written.
  __device__ void store(Piece* shared, const Value* bias, Value* out, const Convolution& c) const {
    constexpr int kPieces = kFilters / 8;  // of a pixel
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
        shared[pixel * kPieces + ((across / 8 + j) ^ (pixel % 8))].words[lane % 4] = pair;
      }
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kPixels * kPieces; i += 256) {
      const int line = i / kPieces, piece = i % kPieces;
      const int pixel = static_cast<int>(blockIdx.x) * kPixels + line,
                filter = static_cast<int>(blockIdx.y) * kFilters + 8 * piece;
      if (pixel >= c.pixels || filter >= c.filters) continue;
      *reinterpret_cast<Piece*>(out + static_cast<long long>(pixel) * c.filters + filter) =
          shared[line * kPieces + (piece ^ (line % 8))];
    }
  }
};

/// Sums of float32, each of a thread's pixels with each of its filters.
template <int kPixelsOfBlock, int kFiltersOfBlock>
struct FloatSums {
  using Value = float;
  static constexpr int kPixels = kPixelsOfBlock, kFilters = kFiltersOfBlock;
  float sums[kPixels / 16][kFilters / 16];

  __device__ void add(const Piece* pixels, const Piece* filters) {
    const int down = threadIdx.x / 16, across = threadIdx.x % 16;
    TESSERA_NO_UNROLL  // for want of registers
        for (int piece = 0; piece < 4; ++piece) {
      Piece of_filters[kFilters / 16];
      TESSERA_UNROLL
      for (int j = 0; j < kFilters / 16; ++j)
        of_filters[j] = filters[placed(across + 16 * j, piece)];
      TESSERA_UNROLL
      for (int i = 0; i < kPixels / 16; ++i) {
        const Piece of_pixel = pixels[placed(down + 16 * i, piece)];
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

  __device__ void store(Piece*, const Value* bias, Value* out, const Convolution& c) const {
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

/// Block (x, y): the x-th pixels, the y-th filters.
template <class Sums, int kStages>
__device__ inline void convolve(const Piece* __restrict__ image, const Piece* __restrict__ weight,
                                const typename Sums::Value* __restrict__ bias,
                                typename Sums::Value* __restrict__ out, const Convolution& c) {
  constexpr int kPixels = Sums::kPixels, kFilters = Sums::kFilters;
  constexpr int kLines = 64;  // that all threads copy a piece of
  static_assert(kPixels % kLines == 0 && kFilters % kLines == 0);
  __shared__ Piece steps[kStages][(kPixels + kFilters) * 4];
  const int line = static_cast<int>(threadIdx.x) / 4, piece = static_cast<int>(threadIdx.x) % 4;

  Seen seen[kPixels / kLines];
  TESSERA_UNROLL
  for (int i = 0; i < kPixels / kLines; ++i)
    seen[i] = seen_by(static_cast<int>(blockIdx.x) * kPixels + i * kLines + line, image, c);
  const int terms = c.side * c.side * c.pieces;
  const Piece* filters[kFilters / kLines];
  bool is_filter[kFilters / kLines];
  TESSERA_UNROLL
  for (int i = 0; i < kFilters / kLines; ++i) {
    const int filter = static_cast<int>(blockIdx.y) * kFilters + i * kLines + line;
    is_filter[i] = filter < c.filters;
    filters[i] = weight + static_cast<long long>(filter) * terms + piece;
  }

  Term next = {0, 0, 0, 0};
  next.advance(piece, c);
  int begun = 0;  // steps
  const int count = (terms + 3) / 4;
  const auto begin_step = [&](Piece* to) {
    if (begun < count) {
      const bool is_term = 4 * begun + piece < terms;
      TESSERA_UNROLL
      for (int i = 0; i < kPixels / kLines; ++i)
        copy_piece(to + placed(line, piece) + i * kLines * 4, seen[i].first + next.offset,
                   ((seen[i].inside >> next.tap) & 1U) != 0);
      TESSERA_UNROLL
      for (int i = 0; i < kFilters / kLines; ++i)
        copy_piece(to + placed(line, piece) + (kPixels + i * kLines) * 4, filters[i] + 4 * begun,
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
    __syncthreads();  // this step's copies are all threads', and the step before it is no longer read
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
      name(const Piece* __restrict__ image, const Piece* __restrict__ weight,        \
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
