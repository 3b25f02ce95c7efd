// What convolutions with a fixed reduction order share (convolution_kernels.cu, hopper/hopper_kernels.cu).
//
// A convolution is a matrix product. A row holds the terms that the taps of an output pixel read; a column
// belongs to a filter. Images are (n, height, width, channels), weights (filters, taps down, taps across,
// channels). So the terms of a row, and those of a column, are contiguous in 16-byte vectors. A block of 256
// threads computes a part of the product. It holds several steps of vectors in shared memory at once, so that
// copies overlap the sums. One thread, or one tensor core, adds a sum from the first term to the last.
// Therefore a result does not depend on the image's size, the pixel's place, or the block's size.
#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 800

struct alignas(16) Vector {
  unsigned int words[4];
};

struct Convolution {
  int pixels;                  ///< of the output, of all samples
  int height, width, vectors;  ///< of the image; `vectors` of a pixel
  int out_height, out_width, filters;
  int side, before;  ///< taps down and across; zero pixels above and left of the image
  int rectify;
};

#ifdef __CUDACC__
/// Starts a copy to shared memory. Not `inside`: zeros are written.
__device__ inline void copy_vector(Vector* to, const Vector* from, bool inside) {
  const unsigned int place = static_cast<unsigned int>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(inside ? 16 : 0)
               : "memory");
}
/// Ends a step: the copies that this thread has started since the last end_step().
__device__ inline void end_step() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits for this thread's copies, except those of the newest steps.
template <int kNewest>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
}
/// From float16. half_pair() rounds to the nearest; the first value is in the lower half.
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

/// What an output pixel reads of the image.
struct Seen {
  const Vector* first;  ///< read by its first tap; may be outside the image
  unsigned int inside;  ///< a bit per tap: inside the image
};
__device__ inline Seen seen_by(int pixel, const Vector* image, const Convolution& c) {
  const int size = c.out_height * c.out_width, sample = pixel / size,
            row = (pixel - sample * size) / c.out_width;
  const int y = row - c.before, x = pixel - sample * size - row * c.out_width - c.before;
  Seen seen = {image + ((static_cast<long long>(sample) * c.height + y) * c.width + x) * c.vectors, 0};
  for (int tap = 0; tap < c.side * c.side; ++tap) {
    const bool in_height = static_cast<unsigned int>(y + tap / c.side) < static_cast<unsigned int>(c.height);
    const bool in_width = static_cast<unsigned int>(x + tap % c.side) < static_cast<unsigned int>(c.width);
    if (pixel < c.pixels && in_height && in_width) seen.inside |= 1U << tap;
  }
  return seen;
}

#endif
