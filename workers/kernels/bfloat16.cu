// Conversions between bfloat16 and float32, in front of all other kernels (README.md).

#ifdef __CUDACC__
#define TESSERA_UNROLL _Pragma("unroll")
#define TESSERA_UNROLL_SOME _Pragma("unroll 8")
#define TESSERA_NO_UNROLL _Pragma("unroll 1")
#else
#define TESSERA_UNROLL
#define TESSERA_UNROLL_SOME
#define TESSERA_NO_UNROLL
#endif

/// 8 values of bfloat16. The first is in the lower half of the first pair.
struct alignas(16) Bfloat16Vector {
  unsigned int pairs[4];
};

__device__ inline float low(unsigned int pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float high(unsigned int pair) {
  return __uint_as_float(pair & 0xffff0000U);
}
__device__ inline float value(const Bfloat16Vector& vector, int i) {
  return i % 2 == 0 ? low(vector.pairs[i / 2]) : high(vector.pairs[i / 2]);
}

/// Rounds to the nearest bfloat16, ties to even; a NaN stays one.
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

/// rounded_pair() of ReLU's result; a NaN stays one.
__device__ inline unsigned int rectified_pair(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned int pair;
  asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return rounded_pair(first < 0 ? 0 : first, second < 0 ? 0 : second);
#endif
}
