// Convolutions with a fixed reduction order for Hopper: by groups of 64 channels, in each by the taps' rows,
// their columns, the channels. For compute capability 9.0 only (sm_90a; README.md). Four warps multiply
// matrices in shared memory together (PTX wgmma). So values pass no registers, and 128 filters share what is
// read of a pixel. Channels are a multiple of 64. A step is what one tap reads of a group of channels.
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kGroup = 8;  // vectors of 64 channels

#ifdef __CUDACC__
/// A block's dynamic shared memory, aligned to 1024 bytes.
#define TESSERA_SHARED(name) extern __shared__ __align__(1024) Vector name[]
/// A descriptor of a matrix in shared memory. A line (pixel or filter) has two vectors, 16 terms.
using Matrix = unsigned long long;
/// Lines of 8 vectors in groups of 8 lines; the vectors are `swizzled` (below). `first`: the first of the two
/// vectors of the first line.
__device__ inline Matrix matrix_of_lines(const Vector* first) {
  const unsigned long long place = __cvta_generic_to_shared(first);
  return ((place & 0x3ffffU) >> 4) | (1ULL << 16) | (64ULL << 32) | (1ULL << 62);
}
/// One vector each of 8 consecutive lines. `between_groups` vectors on are the next 8 lines,
/// `between_vectors` on the second vectors of the same lines.
__device__ inline Matrix matrix_of_planes(const Vector* first, int between_groups, int between_vectors) {
  const unsigned long long place = __cvta_generic_to_shared(first);
  return ((place & 0x3ffffU) >> 4) | (static_cast<unsigned long long>(between_vectors) << 16) |
         (static_cast<unsigned long long>(between_groups) << 32);
}
/// Makes this thread's copies visible to products (the asynchronous proxy).
__device__ inline void show_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ inline void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void end_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits for all products of this warpgroup, except the newest groups.
template <int kNewest>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kNewest) : "memory");
}
/// After waiting for products: keeps the compiler from reading their sum earlier.
__device__ inline void settle(float& sum) {
  asm volatile("" : "+f"(sum)::"memory");
}
/// A value that is uniform in a warp, in a form that shows this to the compiler.
__device__ inline int uniform_in_warp(int x) {
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
/// Starts to add the product of 64 pixels and 64 or 128 filters, 16 terms each (PTX wgmma). Thread i of warp
/// w holds at 4 j the sums of filters 8 j + 2 (i % 4) and the next with pixel 16 w + i / 4, then with pixel
/// 16 w + i / 4 + 8.
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

/// The index of a vector in lines of 8. The first vectors of 8 consecutive lines are in different banks.
__device__ inline int swizzled(int line, int vector) {
  return line * kGroup + (vector ^ (line % 8));
}

/// The next step: what a tap reads of a group of channels.
struct Step {
  int tap, down, across, group;
  __device__ void advance(const Convolution& c) {
    ++tap;
    if (++across == c.side) across = 0, ++down;
    if (down == c.side) tap = down = 0, ++group;
  }
};

/// Copies a block's filters step by step to a ring buffer of steps. A thread copies a vector of every 32nd
/// line.
template <int kFilters>
struct FilterRing {
  static constexpr int kVectors = kFilters * kGroup;  // of a step
  const Vector* first;
  int line, vector, terms, left;  // `terms`: vectors of a filter; `left`: filters from the block's first

  __device__ FilterRing(const Vector* weight, const Convolution& c)
      : line(static_cast<int>(threadIdx.x) / kGroup),
        vector(static_cast<int>(threadIdx.x) % kGroup),
        terms(c.side * c.side * c.vectors),
        left(c.filters - static_cast<int>(blockIdx.y) * kFilters) {
    first = weight + static_cast<long long>(static_cast<int>(blockIdx.y) * kFilters + line) * terms + vector;
  }
  __device__ void copy(Vector* to, const Step& step, const Convolution& c) const {
    TESSERA_UNROLL
    for (int i = 0; i < kFilters / 32; ++i)
      copy_vector(to + swizzled(line, vector) + 32 * kGroup * i,
                  first + static_cast<long long>(32 * i) * terms + step.tap * c.vectors + step.group * kGroup,
                  32 * i + line < left);
  }
};

/// Sums in float32 of two warpgroups, each kTiles times 64 pixels.
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

  /// Adds the bias, applies ReLU, and writes to shared memory, from where whole vectors can be written.
  /// `pixel_of` maps pixel i of a tile to the block's pixel.
  template <class PixelOf>
  __device__ void put(Vector* shared, const unsigned short* bias, const Convolution& c,
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

/// Writes what put() left in shared memory to the output. `pixel_of` maps the block's pixel to the output's;
/// negative: outside.
template <int kPixels, int kFilters, class PixelOf>
__device__ inline void write_pixels(const Vector* shared, unsigned short* out, const Convolution& c,
                                    const PixelOf& pixel_of) {
  constexpr int kVectors = kFilters / 8;  // of a pixel
  TESSERA_NO_UNROLL
  for (int i = static_cast<int>(threadIdx.x); i < kPixels * kVectors; i += 256) {
    const int line = i / kVectors, vector = i % kVectors,
              filter = static_cast<int>(blockIdx.y) * kFilters + 8 * vector;
    const long long pixel = pixel_of(line);
    if (pixel < 0 || filter >= c.filters) continue;
    *reinterpret_cast<Vector*>(out + pixel * c.filters + filter) =
        shared[line * kVectors + (vector ^ (line % 8))];
  }
}

/// Block (x, y) computes the x-th 128 pixels and the y-th group of filters. Each step copies its pixels.
/// Shared memory holds steps of pixels and filters.
template <class Type, int kFilters, int kStages>
__device__ inline void convolve_lines(const Vector* __restrict__ image, const Vector* __restrict__ weight,
                                      const unsigned short* __restrict__ bias,
                                      unsigned short* __restrict__ out, const Convolution& c, Vector* steps) {
  constexpr int kPixels = 128, kStep = (kPixels + kFilters) * kGroup;
  const FilterRing<kFilters> filters(weight, c);
  Seen seen[kPixels / 32];
  TESSERA_UNROLL
  for (int i = 0; i < kPixels / 32; ++i)
    seen[i] = seen_by(static_cast<int>(blockIdx.x) * kPixels + 32 * i + filters.line, image, c);

  const int count = c.side * c.side * c.vectors / kGroup;
  Step next = {0, 0, 0, 0};
  int begun = 0;
  const auto begin_step = [&](Vector* to) {
    if (begun < count) {
      const int offset =
          (next.down * c.width + next.across) * c.vectors + next.group * kGroup + filters.vector;
      TESSERA_UNROLL
      for (int i = 0; i < kPixels / 32; ++i)
        copy_vector(to + swizzled(filters.line, filters.vector) + 32 * kGroup * i, seen[i].first + offset,
                    ((seen[i].inside >> next.tap) & 1U) != 0);
      filters.copy(to + kPixels * kGroup, next, c);
      next.advance(c);
      ++begun;
    }
    end_step();
  };

  GroupSums<Type, 1, kFilters> all = {};
  const int half =
      uniform_in_warp(static_cast<int>(threadIdx.x) / 128) * 64;  // the first of this warpgroup's pixels
  TESSERA_UNROLL
  for (int i = 0; i < kStages - 2; ++i)
    begin_step(steps + i * kStep);
  int stage = 0, free = kStages - 2;
  for (int step = 0; step < count; ++step) {
    wait_for_copies<kStages - 3>();
    show_copies();
    __syncthreads();  // all threads' copies of this step have ended, and so have the products of the step
                      // before the last
    const Vector* const pixels = steps + stage * kStep;
    begin_products();
    TESSERA_UNROLL
    for (int vector = 0; vector < kGroup; vector += 2)
      multiply_together(Type(), all.sums[0], matrix_of_lines(pixels + half * kGroup + vector),
                        matrix_of_lines(pixels + kPixels * kGroup + vector));
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

constexpr int kAcross = 18;  // pixels of a patch: 16 of the output, and one more at each side for 3x3 taps
constexpr int kPlane = 18 * 18 + 5;  // vectors between two of a pixel; 8 k + 1, so that they are in
                                     // different banks

/// Block (x, y) computes the x-th square of 16 x 16 pixels and the y-th group of filters, with 3x3 taps. All
/// taps read the same patch of the image. Shared memory holds a ring buffer of filters and kPatches patches,
/// of consecutive groups of channels. One patch allows one group only.
template <class Type, int kFilters, int kStages, int kPatches>
__device__ inline void convolve_patches(const Vector* __restrict__ image, const Vector* __restrict__ weight,
                                        const unsigned short* __restrict__ bias,
                                        unsigned short* __restrict__ out, const Convolution& c,
                                        Vector* ring) {
  constexpr int kParts = 6,
                kPixelsOfPart = kAcross * kAcross / kParts;  // a patch is copied in kParts steps
  static_assert(kStages - 3 <= 8 - kParts, "the last part would still be in flight");
  Vector* const patches = ring + kStages * FilterRing<kFilters>::kVectors;
  const FilterRing<kFilters> filters(weight, c);
  const int squares_across = (c.out_width + 15) / 16, squares = squares_across * ((c.out_height + 15) / 16);
  const int sample = static_cast<int>(blockIdx.x) / squares, square = static_cast<int>(blockIdx.x) % squares;
  const int top = square / squares_across * 16, left = square % squares_across * 16;
  const Vector* const of_sample =
      image + static_cast<long long>(sample) * c.height * c.width * c.vectors + filters.vector;
  const auto copy_part = [&](int group, int part) {
    Vector* const to = patches + (group % kPatches * kGroup + filters.vector) * kPlane;
    TESSERA_UNROLL
    for (int i = 0; i < kPixelsOfPart; i += 32) {
      if (i + filters.line >= kPixelsOfPart) break;
      const int pixel = part * kPixelsOfPart + i + filters.line, y = top + pixel / kAcross - c.before,
                x = left + pixel % kAcross - c.before;
      const bool inside = static_cast<unsigned int>(y) < static_cast<unsigned int>(c.height) &&
                          static_cast<unsigned int>(x) < static_cast<unsigned int>(c.width);
      copy_vector(to + pixel,
                  of_sample + (static_cast<long long>(y) * c.width + x) * c.vectors + group * kGroup, inside);
    }
  };

  const int groups = c.vectors / kGroup;
  Step next = {0, 0, 0, 0};
  const auto begin_step = [&](Vector* to) {
    if (next.group < groups) {
      filters.copy(to, next, c);
      next.advance(c);
    }
  };

  GroupSums<Type, 2, kFilters> all = {};
  const int half = uniform_in_warp(static_cast<int>(threadIdx.x) / 128) *
                   8;  // the first of this warpgroup's rows of the square
  TESSERA_NO_UNROLL
  for (int part = 0; part < kParts; ++part)
    copy_part(0, part);
  TESSERA_UNROLL
  for (int i = 0; i < kStages - 2; ++i) {
    begin_step(ring + i * FilterRing<kFilters>::kVectors);
    end_step();
  }
  int stage = 0, free = kStages - 2;
  TESSERA_NO_UNROLL
  for (Step step = {0, 0, 0, 0}; step.group < groups; step.advance(c)) {
    wait_for_copies<kStages - 3>();
    show_copies();
    __syncthreads();  // all threads' copies of this step have ended, and so have the products of the step
                      // before the last
    const Vector* const pixels =
        patches + step.group % kPatches * kGroup * kPlane + (half + step.down) * kAcross + step.across;
    const Vector* const of_filters = ring + stage * FilterRing<kFilters>::kVectors;
    begin_products();
    TESSERA_UNROLL
    for (int vector = 0; vector < kGroup; vector += 2) {
      TESSERA_UNROLL
      for (int tile = 0; tile < 2; ++tile)
        multiply_together(Type(), all.sums[tile],
                          matrix_of_planes(pixels + 8 * tile + vector * kPlane, kAcross, kPlane),
                          matrix_of_lines(of_filters + vector));
    }
    end_products();
    begin_step(ring + free * FilterRing<kFilters>::kVectors);
    // From the second tap on nobody reads the patch before this one. All parts of the next patch have arrived
    // before its first tap.
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
      name(const Vector* __restrict__ image, const Vector* __restrict__ weight,                        \
           const unsigned short* __restrict__ bias, unsigned short* __restrict__ out, Convolution c) { \
    TESSERA_SHARED(shared);                                                                            \
    __VA_ARGS__(image, weight, bias, out, c, shared);                                                  \
  }
#define TESSERA_HOPPER_FAMILY(type, Type)                                                      \
  TESSERA_HOPPER(tessera_hopper_##type##_lines_64, 2, convolve_lines<Type, 64, 4>)             \
  TESSERA_HOPPER(tessera_hopper_##type##_lines_128, 2, convolve_lines<Type, 128, 3>)           \
  TESSERA_HOPPER(tessera_hopper_##type##_lines_128_deep, 1, convolve_lines<Type, 128, 4>)      \
  TESSERA_HOPPER(tessera_hopper_##type##_patches_64, 2, convolve_patches<Type, 64, 4, 1>)      \
  TESSERA_HOPPER(tessera_hopper_##type##_patches_64_deep, 2, convolve_patches<Type, 64, 3, 2>) \
  TESSERA_HOPPER(tessera_hopper_##type##_patches_128, 1, convolve_patches<Type, 128, 4, 2>)
// The program compiles only the type that it needs. Both together take three seconds.
#ifndef TESSERA_ONLY_FLOAT16
TESSERA_HOPPER_FAMILY(bfloat16, Bfloat16)
#endif
#ifndef TESSERA_ONLY_BFLOAT16
TESSERA_HOPPER_FAMILY(float16, Float16)
#endif

#endif
