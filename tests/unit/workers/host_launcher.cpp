#include "host_launcher.h"

#include <c10/util/Exception.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "block_of_threads.h"

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

float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static
#include "workers/network/bfloat16.cu"
#include "workers/network/device_kernels.cu"
#include "workers/train/sample_kernels.cu"

/// What a GPU would end with. No exception leaves a thread of BlockOfThreads.
void require(bool condition, const char* otherwise) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", otherwise);
  std::abort();
}

void require_piece(const void* place) {
  require(reinterpret_cast<std::uintptr_t>(place) % 16 == 0, "an access of 16 bytes that is not aligned to them");
}

/// A thread's copies to shared memory that have begun.
struct Copies {
  struct Copy {
    void* to;
    const void* from;  ///< null: zeros
  };
  std::vector<std::vector<Copy>> steps = {{}};
};
struct Piece;

/// The block that runs, for what its threads do together.
struct Block {
  enum class Together { load_matrices, multiply };
  static constexpr std::size_t kWarp = BlockOfThreads::kWarp;
  BlockOfThreads threads{kKernelThreads};
  HostThreads how;
  std::array<Copies, kKernelThreads> copies;
  struct Shown {  ///< by a thread to its warp
    Together what = Together::multiply;
    const Piece* row = nullptr;
    std::array<unsigned int, 4> pixels = {};
    std::array<unsigned int, 2> filters = {};
  };
  // By turns: who has met goes on to show the next while others still look.
  std::array<std::array<Shown, kKernelThreads>, 2> shown{};
  std::array<unsigned int, kKernelThreads> turns{};

  void meet(std::size_t group) {
    const unsigned int thread = threadIdx.x;
    threads.meet(group);
    threadIdx.x = thread;
  }
  /// What all threads of this one's warp show, which do the same.
  const Shown* show(const Shown& mine) {
    auto& turn = shown[turns[threadIdx.x]++ % 2];
    turn[threadIdx.x] = mine;
    meet(kWarp);
    const Shown* const warp = turn.data() + threadIdx.x / kWarp * kWarp;
    for (std::size_t i = 0; i < kWarp; ++i)
      require(warp[i].what == mine.what, "a warp's threads do different things together");
    return warp;
  }
};
Block& block() {
  static Block one;
  return one;
}

void __syncthreads() {
  block().meet(kKernelThreads);
}

void copy(const Copies::Copy& copy) {
  if (copy.from == nullptr) std::memset(copy.to, 0, 16);
  else std::memcpy(copy.to, copy.from, 16);
}

void copy_piece(Piece* to, const Piece* from, bool inside) {
  require_piece(to);
  require_piece(from);
  const Copies::Copy one = {to, inside ? from : nullptr};
  if (block().how.late_copies) block().copies[threadIdx.x].steps.back().push_back(one);
  else copy(one);
}

void end_step() {
  block().copies[threadIdx.x].steps.emplace_back();
}

template <int kNewest>
void wait_for_copies() {
  auto& steps = block().copies[threadIdx.x].steps;
  while (steps.size() > kNewest + 1) {  // the last one has not ended
    std::ranges::for_each(steps.front(), copy);
    steps.erase(steps.begin());
  }
}

void load_matrices(unsigned int (&to)[4], const Piece* row) {
  require_piece(row);
  const unsigned int lane = threadIdx.x % Block::kWarp;
  const Block::Shown* const warp = block().show({.what = Block::Together::load_matrices, .row = row});
  for (unsigned int i = 0; i < 4; ++i)
    std::memcpy(&to[i], reinterpret_cast<const char*>(warp[8 * i + lane / 4].row) + lane % 4 * 4, 4);
}

float half_value(unsigned short bits) {
  return c10::detail::fp16_ieee_to_fp32_value(bits);
}

unsigned int half_pair(float first, float second) {
  const unsigned int low_half = c10::detail::fp16_ieee_from_fp32_value(first);
  return low_half | (static_cast<unsigned int>(c10::detail::fp16_ieee_from_fp32_value(second)) << 16);
}

/// As the matrices of PTX's mma.m16n8k16 for values of two bytes lie in a warp's registers.
template <float (*value)(unsigned int pair, bool second)>
void multiply(float (&sums)[4], const unsigned int (&pixels)[4], unsigned int filter, unsigned int filter_later) {
  const unsigned int lane = threadIdx.x % Block::kWarp;
  const Block::Shown* const warp = block().show({.pixels = {pixels[0], pixels[1], pixels[2], pixels[3]}, .filters = {filter, filter_later}});
  for (unsigned int i = 0; i < 4; ++i) {
    const unsigned int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (unsigned int k = 0; k < 16; ++k) {
      const unsigned int of_pixel = warp[row % 8 * 4 + k % 8 / 2].pixels[row / 8 + k / 8 * 2];
      const unsigned int of_filter = warp[column * 4 + k % 8 / 2].filters[k / 8];
      sums[i] += value(of_pixel, k % 2 != 0) * value(of_filter, k % 2 != 0);
    }
  }
}

float bfloat16_of(unsigned int pair, bool second) {
  return second ? high(pair) : low(pair);
}

float float16_of(unsigned int pair, bool second) {
  return half_value(static_cast<unsigned short>(second ? pair >> 16 : pair));
}

void multiply_bfloat16(float (&sums)[4], const unsigned int (&pixels)[4], unsigned int filter, unsigned int filter_later) {
  multiply<bfloat16_of>(sums, pixels, filter, filter_later);
}

void multiply_float16(float (&sums)[4], const unsigned int (&pixels)[4], unsigned int filter, unsigned int filter_later) {
  multiply<float16_of>(sums, pixels, filter, filter_later);
}

#include "workers/network/convolution_kernels.cu"

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
  else if (name == "tessera_convolve_bfloat16_large") call(tessera_convolve_bfloat16_large, arguments);
  else if (name == "tessera_convolve_bfloat16_narrow") call(tessera_convolve_bfloat16_narrow, arguments);
  else if (name == "tessera_convolve_bfloat16_small") call(tessera_convolve_bfloat16_small, arguments);
  else if (name == "tessera_convolve_float16_large") call(tessera_convolve_float16_large, arguments);
  else if (name == "tessera_convolve_float16_narrow") call(tessera_convolve_float16_narrow, arguments);
  else if (name == "tessera_convolve_float16_small") call(tessera_convolve_float16_small, arguments);
  else if (name == "tessera_convolve_float32_large") call(tessera_convolve_float32_large, arguments);
  else if (name == "tessera_convolve_float32_narrow") call(tessera_convolve_float32_narrow, arguments);
  else if (name == "tessera_convolve_float32_small") call(tessera_convolve_float32_small, arguments);
  else TORCH_CHECK(false, "no kernel ", name);
}

/// A block whose threads need no other's.
void run_apart(const std::string& name, std::span<void*> arguments) {
  for (threadIdx.x = 0; threadIdx.x < kKernelThreads; ++threadIdx.x)
    call(name, arguments);
}

void run_together(const std::string& name, std::span<void*> arguments, HostThreads how) {
  block().how = how;
  block().copies.fill({});
  const auto thread = [&](std::size_t number) {
    threadIdx.x = static_cast<unsigned int>(number);
    call(name, arguments);
  };
  block().threads.run(thread, how.backwards);
  for (const Copies& copies : block().copies) {
    for (const auto& step : copies.steps)
      require(step.empty(), "a block has ended before its copies");
  }
}

}  // namespace

KernelLauncher host_launcher(int& started, HostThreads threads) {
  return [&started, threads](const KernelStart& start, std::span<void*> arguments) {
    constexpr std::int64_t kAtOnce = 3;  // blocks
    ++started;
    const std::string name = start.name;
    gridDim = {static_cast<unsigned int>(start.loops ? std::min(start.blocks_x, kAtOnce) : start.blocks_x),
               static_cast<unsigned int>(start.blocks_y)};
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
        if (name.starts_with("tessera_convolve")) run_together(name, arguments, threads);
        else run_apart(name, arguments);
      }
    }
  };
}

}  // namespace tessera::testing
