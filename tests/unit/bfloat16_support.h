#pragma once

namespace tessera::testing {

/// Whether oneDNN trains in bfloat16 on this processor: on x86 it needs AVX-512 with the BW, DQ and VL
/// extensions. Found without the code under test, whose errors must fail a test rather than skip it.
inline bool cpu_trains_in_bfloat16() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
#else
  return false;
#endif
}

}  // namespace tessera::testing
