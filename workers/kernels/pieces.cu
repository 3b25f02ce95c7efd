// What convolutions that sum in one order share (convolution_kernels.cu, hopper_kernels.cu). It is compiled
// in front of them, behind bfloat16.cu, by NVRTC where the program runs, and as plain C++ by a test, with
// functions of its own for what a block's threads do together.
//
// A convolution is a product of matrices: a row for each pixel of the output, the terms that its taps see; a
// column for each filter. Images are (n, height, width, channels), weights (filters, taps down, taps across,
// channels), so that the terms of a row and of a column follow each other, in pieces of 16 bytes. A block of
// 256 threads makes a part of the product, of so many pixels and filters: step by step it has some pieces of
// each in shared memory, several steps at once, so that copies go on beside the sums. A sum is one thread's,
// or one tensor core's, from the first term to the last. So neither the size of the image, nor the place of a
// pixel, nor the size of the blocks is seen in it.
#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 800

struct alignas(16) Piece {
  unsigned int words[4];
};

struct Convolution {
  int pixels;                 ///< of the output, all samples'
  int height, width, pieces;  ///< of the image; so many pieces make a pixel
  int out_height, out_width, filters;
  int side, before;  ///< taps down and across; pixels of 0 above and left of the image
  int rectify;
};

#ifdef __CUDACC__
/// Begins to copy to shared memory, or makes zeros there.
__device__ inline void copy_piece(Piece* to, const Piece* from, bool inside) {
  const unsigned int place = static_cast<unsigned int>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(inside ? 16 : 0)
               : "memory");
}
/// What this thread has begun to copy since the last one is a step's.
__device__ inline void end_step() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits for this thread's copies but those of the newest steps.
template <int kNewest>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
}
/// Of float16; to the nearest, the first in the lower half.
__device__ inline float half_value(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ inline unsigned int half_pair(float first, float second) {
  unsigned int pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
#endif

/// Types of values that tensor cores multiply.
struct Bfloat16 {
  static __device__ float value(unsigned short bits) { return low(bits); }
  static __device__ unsigned int pair(float first, float second) { return rounded_pair(first, second); }
};
struct Float16 {
  static __device__ float value(unsigned short bits) { return half_value(bits); }
  static __device__ unsigned int pair(float first, float second) { return half_pair(first, second); }
};

/// ReLU; a NaN stays one.
__device__ inline float rectified(float x) {
  return x < 0 ? 0 : x;
}

/// What a pixel of the output sees of the image.
struct Seen {
  const Piece* first;   ///< by its first tap, which may be outside
  unsigned int inside;  ///< a bit for each tap
};
__device__ inline Seen seen_by(int pixel, const Piece* image, const Convolution& c) {
  const int size = c.out_height * c.out_width, sample = pixel / size,
            row = (pixel - sample * size) / c.out_width;
  const int y = row - c.before, x = pixel - sample * size - row * c.out_width - c.before;
  Seen seen = {image + ((static_cast<long long>(sample) * c.height + y) * c.width + x) * c.pieces, 0};
  for (int tap = 0; tap < c.side * c.side; ++tap) {
    const bool in_height = static_cast<unsigned int>(y + tap / c.side) < static_cast<unsigned int>(c.height);
    const bool in_width = static_cast<unsigned int>(x + tap % c.side) < static_cast<unsigned int>(c.width);
    if (pixel < c.pixels && in_height && in_width) seen.inside |= 1U << tap;
  }
  return seen;
}

#endif
