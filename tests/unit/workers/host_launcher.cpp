#include "host_launcher.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

namespace tessera::testing {
namespace {

// What CUDA C++ has and C++ has not.
struct Place {
  unsigned int x = 0, y = 0;
};
Place blockIdx, threadIdx, gridDim;

float __uint_as_float(unsigned int bits) {
  return std::bit_cast<float>(bits);
}

unsigned int __float_as_uint(float x) {
  return std::bit_cast<unsigned int>(x);
}

#define __global__
#define __device__
#define __launch_bounds__(...)
#include "workers/network/device_kernels.cu"
#include "workers/train/sample_kernels.cu"

template <class Value>
Value read(const void* place) {
  Value value;
  std::memcpy(&value, place, sizeof value);
  return value;
}

template <class... Values>
void call(void (*kernel)(Values...), std::span<void*> arguments) {
  TORCH_CHECK(arguments.size() == sizeof...(Values), "a kernel takes ", sizeof...(Values), " arguments, not ", arguments.size());
  [&]<std::size_t... places>(std::index_sequence<places...>) {
    kernel(read<Values>(arguments[places])...);
  }(std::index_sequence_for<Values...>());
}

void call(const std::string& name, std::span<void*> arguments) {
  if (name == "tessera_pool") call(tessera_pool, arguments);
  else if (name == "tessera_join") call(tessera_join, arguments);
  else if (name == "tessera_first_convolution") call(tessera_first_convolution, arguments);
  else if (name == "tessera_classes") call(tessera_classes, arguments);
  else if (name == "tessera_bend_input") call(tessera_bend_input, arguments);
  else if (name == "tessera_bend_answer") call(tessera_bend_answer, arguments);
  else TORCH_CHECK(false, "no kernel ", name);
}

}  // namespace

KernelLauncher host_launcher(int& started) {
  return [&started](const KernelStart& start, std::span<void*> arguments) {
    constexpr std::int64_t kAtOnce = 3;  // blocks
    ++started;
    gridDim = {static_cast<unsigned int>(start.loops ? std::min(start.blocks_x, kAtOnce) : start.blocks_x),
               static_cast<unsigned int>(start.blocks_y)};
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
        for (threadIdx.x = 0; threadIdx.x < kKernelThreads; ++threadIdx.x)
          call(start.name, arguments);
      }
    }
  };
}

}  // namespace tessera::testing
