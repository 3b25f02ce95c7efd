// Convolutions that sum in one order, for Hopper: by the channels in groups of 64, in each by the taps' rows,
// their columns, the channels. NVRTC compiles this file, behind bfloat16.cu and pieces.cu, where the program
// runs, for compute capability 9.0 with what only it has (sm_90a); a test compiles it as plain C++. Four
// warps multiply together matrices that lie in shared memory (PTX's wgmma), so values go through no registers
// on their way, and 128 filters share what is read of a pixel. Images have channels by 64s: a step is what
// one tap sees of a group of them.
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kGroup = 8;  // pieces of 64 channels

#ifdef __CUDACC__
/// All of a block's shared memory, in whole 1024 bytes.
#define TESSERA_SHARED(name) extern __shared__ __align__(1024) Piece name[]
/// A matrix in shared memory: lines (pixels or filters) of two pieces, of 16 terms.
using Matrix = unsigned long long;
/// Lines of eight pieces, eight lines after each other, the pieces `swizzled` (below); `first`: one of the
/// two pieces of the first line.
__device__ inline Matrix matrix_of_lines(const Piece* first) {
  const unsigned long long place = __cvta_generic_to_shared(first);
  return ((place & 0x3ffffU) >> 4) | (1ULL << 16) | (64ULL << 32) | (1ULL << 62);
}
/// One piece of eight lines after each other; so many pieces on are the next eight lines, the same lines'
/// second pieces.
__device__ inline Matrix matrix_of_planes(const Piece* first, int between_eights, int between_pieces) {
  const unsigned long long place = __cvta_generic_to_shared(first);
  return ((place & 0x3ffffU) >> 4) | (static_cast<unsigned long long>(between_pieces) << 16) |
         (static_cast<unsigned long long>(between_eights) << 32);
}
/// What this thread has copied is there for products, too.
__device__ inline void show_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ inline void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void end_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits for all products of this warpgroup but the newest.
template <int kNewest>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kNewest) : "memory");
}
/// After products that were waited for: the compiler must not have read their sum before.
__device__ inline void settle(float& sum) {
  asm volatile("" : "+f"(sum)::"memory");
}
/// The same in all threads of a warp, and known to be.
__device__ inline int alike_in_warp(int x) {
  return __shfl_sync(0xffffffffU, x, 0);
}

#define TESSERA_PLACES_32                                                                                \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, " \
  "%22, %23, %24, %25, "                                                                                 \
  "%26, %27, %28, %29, %30, %31"
#define TESSERA_PLACES_64                                                                             \
  TESSERA_PLACES_32                                                                                   \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, " \
  "%51, "                                                                                             \
  "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define TESSERA_SUMS_8(i)                                                                    \
  "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]), "+f"(sums[i + 4]), \
      "+f"(sums[i + 5]), "+f"(sums[i + 6]), "+f"(sums[i + 7])
#define TESSERA_SUMS_32(i) \
  TESSERA_SUMS_8(i), TESSERA_SUMS_8(i + 8), TESSERA_SUMS_8(i + 16), TESSERA_SUMS_8(i + 24)
#define TESSERA_MULTIPLY_64(type)                                                                 \
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " {" TESSERA_PLACES_32 \
               "}, %32, %33, 1, 1, 1, 0, 0;"                                                      \
               : TESSERA_SUMS_32(0)                                                               \
               : "l"(pixels), "l"(filters))
#define TESSERA_MULTIPLY_128(type)                                                                 \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" TESSERA_PLACES_64 \
               "}, %64, %65, 1, 1, 1, 0, 0;"                                                       \
               : TESSERA_SUMS_32(0), TESSERA_SUMS_32(32)                                           \
               : "l"(pixels), "l"(filters))
/// Begins to add the product of 64 pixels' and 64 or 128 filters' 16 terms. Warp w, thread i of it, has of
/// the sums, of filters 8 j + 2 (i % 4) and the next, those of pixel 16 w + i / 4, then those of pixel 16 w +
/// i / 4 + 8, at 4 j.
__device__ inline void multiply_together(Bfloat16, float (&sums)[32], Matrix pixels, Matrix filters) {
  TESSERA_MULTIPLY_64("bf16");
}
__device__ inline void multiply_together(Bfloat16, float (&sums)[64], Matrix pixels, Matrix filters) {
  TESSERA_MULTIPLY_128("bf16");
}
__device__ inline void multiply_together(Float16, float (&sums)[32], Matrix pixels, Matrix filters) {
  TESSERA_MULTIPLY_64("f16");
}
__device__ inline void multiply_together(Float16, float (&sums)[64], Matrix pixels, Matrix filters) {
  TESSERA_MULTIPLY_128("f16");
}
#endif

/// Where a piece of a line of eight is: the first pieces of eight lines lie in different banks.
__device__ inline int swizzled(int line, int piece) {
  return line * kGroup + (piece ^ (line % 8));
}

/// Which step comes next: what a tap sees of a group of channels.
struct Step {
  int tap, down, across, group;
  __device__ void advance(const Convolution& c) {
    ++tap;
    if (++across == c.side) across = 0, ++down;
    if (down == c.side) tap = down = 0, ++group;
  }
};

/// Filters of a block, copied step by step to a ring of so many steps. A thread copies a piece of every 32nd
/// line.
template <int kFilters>
struct FilterRing {
  static constexpr int kPieces = kFilters * kGroup;  // of a step
  const Piece* first;
  int line, piece, terms, left;  // pieces of a filter; filters

  __device__ FilterRing(const Piece* weight, const Convolution& c)
      : line(static_cast<int>(threadIdx.x) / kGroup),
        piece(static_cast<int>(threadIdx.x) % kGroup),
        terms(c.side * c.side * c.pieces),
        left(c.filters - static_cast<int>(blockIdx.y) * kFilters) {
    first = weight + static_cast<long long>(static_cast<int>(blockIdx.y) * kFilters + line) * terms + piece;
  }
  __device__ void copy(Piece* to, const Step& step, const Convolution& c) const {
    TESSERA_UNROLL
    for (int i = 0; i < kFilters / 32; ++i)
      copy_piece(to + swizzled(line, piece) + 32 * kGroup * i,
                 first + static_cast<long long>(32 * i) * terms + step.tap * c.pieces + step.group * kGroup,
                 32 * i + line < left);
  }
};

/// Sums of two warpgroups, of kTiles times 64 pixels each, in float32.
template <class Type, int kTiles, int kFilters>
struct GroupSums {
  float sums[kTiles][kFilters / 2];

  __device__ void wait_for_all() {
    wait_for_products<0>();
    TESSERA_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      TESSERA_UNROLL
      for (int i = 0; i < kFilters / 2; ++i)
        settle(sums[tile][i]);
    }
  }

  /// With bias and ReLU to shared memory, so that pieces can be written; `pixel_of`: the block's of pixel i
  /// of a tile.
  template <class PixelOf>
  __device__ void put(Piece* shared, const unsigned short* bias, const Convolution& c,
                      const PixelOf& pixel_of) const {
    const int warp = static_cast<int>(threadIdx.x) % 128 / 32, lane = static_cast<int>(threadIdx.x) % 32;
    TESSERA_UNROLL
    for (int j = 0; j < kFilters / 8; ++j) {
      const int filter = static_cast<int>(blockIdx.y) * kFilters + 8 * j + lane % 4 * 2;
      const float first = filter < c.filters ? Type::value(bias[filter]) : 0;
      const float second = filter < c.filters ? Type::value(bias[filter + 1]) : 0;
      TESSERA_UNROLL
      for (int i = 0; i < 2 * kTiles; ++i) {
        const int pixel = pixel_of(i / 2, warp * 16 + lane / 4 + i % 2 * 8);
        const float a = sums[i / 2][4 * j + i % 2 * 2] + first,
                    b = sums[i / 2][4 * j + i % 2 * 2 + 1] + second;
        const unsigned int pair = c.rectify != 0 ? Type::pair(rectified(a), rectified(b)) : Type::pair(a, b);
        shared[pixel * (kFilters / 8) + (j ^ (pixel % 8))].words[lane % 4] = pair;
      }
    }
  }
};

/// What put() has left, of the block's pixels, to the output's at `pixel_of`; negative: there is none.
template <int kPixels, int kFilters, class PixelOf>
__device__ inline void write_pixels(const Piece* shared, unsigned short* out, const Convolution& c,
                                    const PixelOf& pixel_of) {
  constexpr int kPieces = kFilters / 8;  // of a pixel
  TESSERA_NO_UNROLL
  for (int i = static_cast<int>(threadIdx.x); i < kPixels * kPieces; i += 256) {
    const int line = i / kPieces, piece = i % kPieces,
              filter = static_cast<int>(blockIdx.y) * kFilters + 8 * piece;
    const long long pixel = pixel_of(line);
    if (pixel < 0 || filter >= c.filters) continue;
    *reinterpret_cast<Piece*>(out + pixel * c.filters + filter) =
        shared[line * kPieces + (piece ^ (line % 8))];
  }
}

/// Block (x, y): the x-th 128 pixels, the y-th filters; each step's pixels are copied. In shared memory:
/// steps of pixels and filters.
template <class Type, int kFilters, int kStages>
__device__ inline void convolve_lines(const Piece* __restrict__ image, const Piece* __restrict__ weight,
                                      const unsigned short* __restrict__ bias,
                                      unsigned short* __restrict__ out, const Convolution& c, Piece* steps) {
  constexpr int kPixels = 128, kStep = (kPixels + kFilters) * kGroup;
  const FilterRing<kFilters> filters(weight, c);
  Seen seen[kPixels / 32];
  TESSERA_UNROLL
  for (int i = 0; i < kPixels / 32; ++i)
    seen[i] = seen_by(static_cast<int>(blockIdx.x) * kPixels + 32 * i + filters.line, image, c);

  const int count = c.side * c.side * c.pieces / kGroup;
  Step next = {0, 0, 0, 0};
  int begun = 0;
  const auto begin_step = [&](Piece* to) {
    if (begun < count) {
      const int offset = (next.down * c.width + next.across) * c.pieces + next.group * kGroup + filters.piece;
      TESSERA_UNROLL
      for (int i = 0; i < kPixels / 32; ++i)
        copy_piece(to + swizzled(filters.line, filters.piece) + 32 * kGroup * i, seen[i].first + offset,
                   ((seen[i].inside >> next.tap) & 1U) != 0);
      filters.copy(to + kPixels * kGroup, next, c);
      next.advance(c);
      ++begun;
    }
    end_step();
  };

  GroupSums<Type, 1, kFilters> all = {};
  const int half = alike_in_warp(static_cast<int>(threadIdx.x) / 128) * 64;  // this warpgroup's pixels
  TESSERA_UNROLL
  for (int i = 0; i < kStages - 2; ++i)
    begin_step(steps + i * kStep);
  int stage = 0, free = kStages - 2;
  for (int step = 0; step < count; ++step) {
    wait_for_copies<kStages - 3>();
    show_copies();
    __syncthreads();  // this step's copies are all threads', and the products of the step before the last are
                      // made
    const Piece* const pixels = steps + stage * kStep;
    begin_products();
    TESSERA_UNROLL
    for (int piece = 0; piece < kGroup; piece += 2)
      multiply_together(Type(), all.sums[0], matrix_of_lines(pixels + half * kGroup + piece),
                        matrix_of_lines(pixels + kPixels * kGroup + piece));
    end_products();
    begin_step(steps + free * kStep);
    wait_for_products<1>();
    if (++stage == kStages) stage = 0;
    if (++free == kStages) free = 0;
  }
  all.wait_for_all();
  __syncthreads();
  all.put(steps, bias, c, [half](int, int i) { return half + i; });
  __syncthreads();
  write_pixels<kPixels, kFilters>(steps, out, c, [&](int line) {
    const int pixel = static_cast<int>(blockIdx.x) * kPixels + line;
    return static_cast<long long>(pixel < c.pixels ? pixel : -1);
  });
}

constexpr int kAcross = 18;          // pixels of a patch: 16 of the output, and what 3x3 taps see beside them
constexpr int kPlane = 18 * 18 + 5;  // pieces from one of a pixel to its next; a multiple of eight but for
                                     // one, so that they lie in different banks

/// Block (x, y): the x-th square of 16 x 16 pixels, the y-th filters, 3x3 taps, which all see the same patch
/// of the image. In shared memory: a ring of filters, kPatches patches, of groups of channels that follow
/// each other; with one there is one group only.
template <class Type, int kFilters, int kStages, int kPatches>
__device__ inline void convolve_patches(const Piece* __restrict__ image, const Piece* __restrict__ weight,
                                        const unsigned short* __restrict__ bias,
                                        unsigned short* __restrict__ out, const Convolution& c, Piece* ring) {
  constexpr int kParts = 6,
                kPixelsOfPart = kAcross * kAcross / kParts;  // of a patch, copied in as many steps
  static_assert(kStages - 3 <= 8 - kParts, "the last part would still be on its way");
  Piece* const patches = ring + kStages * FilterRing<kFilters>::kPieces;
  const FilterRing<kFilters> filters(weight, c);
  const int squares_across = (c.out_width + 15) / 16, squares = squares_across * ((c.out_height + 15) / 16);
  const int sample = static_cast<int>(blockIdx.x) / squares, square = static_cast<int>(blockIdx.x) % squares;
  const int top = square / squares_across * 16, left = square % squares_across * 16;
  const Piece* const of_sample =
      image + static_cast<long long>(sample) * c.height * c.width * c.pieces + filters.piece;
  const auto copy_part = [&](int group, int part) {
    Piece* const to = patches + (group % kPatches * kGroup + filters.piece) * kPlane;
    TESSERA_UNROLL
    for (int i = 0; i < kPixelsOfPart; i += 32) {
      if (i + filters.line >= kPixelsOfPart) break;
      const int pixel = part * kPixelsOfPart + i + filters.line, y = top + pixel / kAcross - c.before,
                x = left + pixel % kAcross - c.before;
      const bool inside = static_cast<unsigned int>(y) < static_cast<unsigned int>(c.height) &&
                          static_cast<unsigned int>(x) < static_cast<unsigned int>(c.width);
      copy_piece(to + pixel,
                 of_sample + (static_cast<long long>(y) * c.width + x) * c.pieces + group * kGroup, inside);
    }
  };

  const int groups = c.pieces / kGroup;
  Step next = {0, 0, 0, 0};
  const auto begin_step = [&](Piece* to) {
    if (next.group < groups) {
      filters.copy(to, next, c);
      next.advance(c);
    }
  };

  GroupSums<Type, 2, kFilters> all = {};
  const int half =
      alike_in_warp(static_cast<int>(threadIdx.x) / 128) * 8;  // this warpgroup's rows of the square
  TESSERA_NO_UNROLL
  for (int part = 0; part < kParts; ++part)
    copy_part(0, part);
  TESSERA_UNROLL
  for (int i = 0; i < kStages - 2; ++i) {
    begin_step(ring + i * FilterRing<kFilters>::kPieces);
    end_step();
  }
  int stage = 0, free = kStages - 2;
  TESSERA_NO_UNROLL
  for (Step step = {0, 0, 0, 0}; step.group < groups; step.advance(c)) {
    wait_for_copies<kStages - 3>();
    show_copies();
    __syncthreads();  // this step's copies are all threads', and the products of the step before the last are
                      // made
    const Piece* const pixels =
        patches + step.group % kPatches * kGroup * kPlane + (half + step.down) * kAcross + step.across;
    const Piece* const of_filters = ring + stage * FilterRing<kFilters>::kPieces;
    begin_products();
    TESSERA_UNROLL
    for (int piece = 0; piece < kGroup; piece += 2) {
      TESSERA_UNROLL
      for (int tile = 0; tile < 2; ++tile)
        multiply_together(Type(), all.sums[tile],
                          matrix_of_planes(pixels + 8 * tile + piece * kPlane, kAcross, kPlane),
                          matrix_of_lines(of_filters + piece));
    }
    end_products();
    begin_step(ring + free * FilterRing<kFilters>::kPieces);
    // The patch before this one is no longer read from the second tap on, and all of the next one has come
    // when it is.
    if (kPatches > 1 && step.group + 1 < groups && step.tap >= 1 && step.tap <= kParts)
      copy_part(step.group + 1, step.tap - 1);
    end_step();
    wait_for_products<1>();
    if (++stage == kStages) stage = 0;
    if (++free == kStages) free = 0;
  }
  all.wait_for_all();
  __syncthreads();
  all.put(ring, bias, c, [half](int tile, int i) { return (half + i / 8) * 16 + tile * 8 + i % 8; });
  __syncthreads();
  write_pixels<256, kFilters>(ring, out, c, [&](int line) {
    const int y = top + line / 16, x = left + line % 16;
    return y < c.out_height && x < c.out_width
               ? (static_cast<long long>(sample) * c.out_height + y) * c.out_width + x
               : -1;
  });
}

#define TESSERA_HOPPER(name, blocks, ...)                                                              \
  extern "C" __global__ void __launch_bounds__(256, blocks)                                            \
      name(const Piece* __restrict__ image, const Piece* __restrict__ weight,                          \
           const unsigned short* __restrict__ bias, unsigned short* __restrict__ out, Convolution c) { \
    TESSERA_SHARED(shared);                                                                            \
    __VA_ARGS__(image, weight, bias, out, c, shared);                                                  \
  }
#define TESSERA_HOPPER_KERNELS(type, Type)                                                     \
  TESSERA_HOPPER(tessera_hopper_##type##_lines_64, 2, convolve_lines<Type, 64, 4>)             \
  TESSERA_HOPPER(tessera_hopper_##type##_lines_128, 2, convolve_lines<Type, 128, 3>)           \
  TESSERA_HOPPER(tessera_hopper_##type##_lines_128_deep, 1, convolve_lines<Type, 128, 4>)      \
  TESSERA_HOPPER(tessera_hopper_##type##_patches_64, 2, convolve_patches<Type, 64, 4, 1>)      \
  TESSERA_HOPPER(tessera_hopper_##type##_patches_64_deep, 2, convolve_patches<Type, 64, 3, 2>) \
  TESSERA_HOPPER(tessera_hopper_##type##_patches_128, 1, convolve_patches<Type, 128, 4, 2>)
// The program compiles those of the type that it needs: all take three seconds.
#ifndef TESSERA_ONLY_FLOAT16
TESSERA_HOPPER_KERNELS(bfloat16, Bfloat16)
#endif
#ifndef TESSERA_ONLY_BFLOAT16
TESSERA_HOPPER_KERNELS(float16, Float16)
#endif

#endif
