// What Tessera's kernels for CUDA share: values of bfloat16. It is compiled in front of them, by NVRTC where
// the program runs, and as plain C++ by a test.

#ifdef __CUDACC__
#define TESSERA_UNROLL _Pragma("unroll")
#define TESSERA_UNROLL_SOME _Pragma("unroll 8")
#define TESSERA_NO_UNROLL _Pragma("unroll 1")
#else
#define TESSERA_UNROLL
#define TESSERA_UNROLL_SOME
#define TESSERA_NO_UNROLL
#endif

/// Eight values of bfloat16, the first in the lower half of the first pair.
struct alignas(16) Eight {
  unsigned int pairs[4];
};

__device__ inline float low(unsigned int pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float high(unsigned int pair) {
  return __uint_as_float(pair & 0xffff0000U);
}
__device__ inline float value(const Eight& eight, int i) {
  return i % 2 == 0 ? low(eight.pairs[i / 2]) : high(eight.pairs[i / 2]);
}

/// To the nearest bfloat16, ties to even; a NaN stays one.
__device__ inline unsigned int rounded(float x) {
  const unsigned int bits = __float_as_uint(x);
  return x != x ? 0x7fc0U : (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
}

__device__ inline unsigned int rounded_pair(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned int pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return rounded(first) | (rounded(second) << 16);
#endif
}

/// The same of ReLU's values; a NaN stays one.
__device__ inline unsigned int rectified_pair(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned int pair;
  asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return rounded_pair(first < 0 ? 0 : first, second < 0 ? 0 : second);
#endif
}
