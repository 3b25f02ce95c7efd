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
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/workers/kernels/block_of_threads.h"

namespace tessera::testing {
namespace {

// The extensions of CUDA C++ to C++.
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
#include "workers/kernels/bfloat16.cu"
#include "workers/kernels/device_kernels.cu"
#include "workers/kernels/sample_kernels.cu"

/// Ends the program with a message where a GPU would fail. A thread of BlockOfThreads must not throw.
void require(bool condition, const char* message) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", message);
  std::abort();
}

void require_vector(const void* place) {
  require(reinterpret_cast<std::uintptr_t>(place) % 16 == 0, "a 16-byte access is not aligned");
}

/// Copies to shared memory that a thread has started.
struct Copies {
  struct Copy {
    void* to;
    const void* from;  ///< null: zeros
  };
  std::vector<std::vector<Copy>> steps = {{}};
};
struct Vector;

/// A matrix in shared memory. Lines have 16 values of two bytes.
struct Matrix {
  const char* first = nullptr;
  std::ptrdiff_t between_lines = 0, between_groups = 0, between_vectors = 0;  ///< bytes
  bool swizzled = false;

  /// The address decides how vectors are swizzled: by its 128-byte row within 1024 bytes.
  std::uint16_t bits(unsigned int line, unsigned int term) const {
    const char* const place =
        first + line % 8 * between_lines + line / 8 * between_groups + term / 8 * between_vectors;
    const auto address = reinterpret_cast<std::uintptr_t>(place);
    const std::uintptr_t vector = swizzled ? address ^ ((address >> 7) % 8 << 4) : address;
    std::uint16_t value = 0;
    std::memcpy(&value, reinterpret_cast<const char*>(vector) + term % 8 * 2, 2);
    return value;
  }
};

/// A thread's part of the matrix products that its warpgroup has started.
struct Products {
  struct Product {
    float* sums;
    unsigned int filters;
    Matrix of_pixels, of_filters;
    float (*value)(unsigned short bits);
  };
  std::vector<std::vector<Product>> groups = {{}};
  bool begun = false;    ///< begin_products() was called
  bool unshown = false;  ///< show_copies() is missing after the last copies
};

/// The running block, for instructions that its threads execute together.
struct Block {
  enum class Together { load_matrices, multiply, multiply_together };
  static constexpr std::size_t kWarp = BlockOfThreads::kWarp, kWarpgroup = 4 * kWarp;
  BlockOfThreads threads{kKernelThreads};
  HostThreads how;
  std::array<Copies, kKernelThreads> copies;
  std::array<Products, kKernelThreads> products;
  struct Shown {  ///< arguments of a thread, for its warp
    Together what = Together::multiply;
    const Vector* row = nullptr;
    std::array<unsigned int, 4> pixels = {};
    std::array<unsigned int, 2> filters = {};
    std::array<const char*, 2> matrices = {};
  };
  // Two alternating buffers: a thread may write its next arguments while other threads still read these.
  std::array<std::array<Shown, kKernelThreads>, 2> shown{};
  std::array<unsigned int, kKernelThreads> turns{};

  void meet(std::size_t group) {
    const unsigned int thread = threadIdx.x;
    threads.meet(group);
    threadIdx.x = thread;
  }
  /// The arguments of all threads of this thread's group. All must execute the same instruction.
  const Shown* show(const Shown& mine, std::size_t group = kWarp) {
    auto& turn = shown[turns[threadIdx.x]++ % 2];
    turn[threadIdx.x] = mine;
    meet(group);
    const Shown* const all = turn.data() + threadIdx.x / group * group;
    for (std::size_t i = 0; i < group; ++i)
      require(all[i].what == mine.what, "the threads of a group execute different instructions");
    return all;
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
  if (copy.from == nullptr)
    std::memset(copy.to, 0, 16);
  else
    std::memcpy(copy.to, copy.from, 16);
}

void copy_vector(Vector* to, const Vector* from, bool inside) {
  require_vector(to);
  require_vector(from);
  const Copies::Copy one = {to, inside ? from : nullptr};
  if (block().how.late_copies)
    block().copies[threadIdx.x].steps.back().push_back(one);
  else
    copy(one);
}

void end_step() {
  block().copies[threadIdx.x].steps.emplace_back();
}

template <int kNewest>
void wait_for_copies() {
  auto& steps = block().copies[threadIdx.x].steps;
  while (steps.size() > kNewest + 1) {  // the last one is not committed
    std::ranges::for_each(steps.front(), copy);
    steps.erase(steps.begin());
  }
  block().products[threadIdx.x].unshown = true;
}

float half_value(unsigned short bits) {
  return c10::detail::fp16_ieee_to_fp32_value(bits);
}

unsigned int half_pair(float first, float second) {
  const unsigned int low_half = c10::detail::fp16_ieee_from_fp32_value(first);
  return low_half | (static_cast<unsigned int>(c10::detail::fp16_ieee_from_fp32_value(second)) << 16);
}

#include "workers/kernels/vectors.cu"

void load_matrices(unsigned int (&to)[4], const Vector* row) {
  require_vector(row);
  const unsigned int lane = threadIdx.x % Block::kWarp;
  const Block::Shown* const warp = block().show({.what = Block::Together::load_matrices, .row = row});
  for (unsigned int i = 0; i < 4; ++i)
    std::memcpy(&to[i], reinterpret_cast<const char*>(warp[8 * i + lane / 4].row) + lane % 4 * 4, 4);
}

/// Adds a product in the register layout of PTX's mma.m16n8k16 for values of two bytes.
template <float (*value)(unsigned int pair, bool second)>
void multiply(float (&sums)[4], const unsigned int (&pixels)[4], unsigned int filter,
              unsigned int filter_later) {
  const unsigned int lane = threadIdx.x % Block::kWarp;
  const Block::Shown* const warp = block().show(
      {.pixels = {pixels[0], pixels[1], pixels[2], pixels[3]}, .filters = {filter, filter_later}});
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

void multiply(Bfloat16, float (&sums)[4], const unsigned int (&pixels)[4], unsigned int filter,
              unsigned int filter_later) {
  multiply<bfloat16_of>(sums, pixels, filter, filter_later);
}

void multiply(Float16, float (&sums)[4], const unsigned int (&pixels)[4], unsigned int filter,
              unsigned int filter_later) {
  multiply<float16_of>(sums, pixels, filter, filter_later);
}

#include "workers/kernels/convolution_kernels.cu"

constexpr std::size_t kSharedVectors =
    (std::size_t{227} << 10) / 16;  // the maximum per block on a Hopper GPU
alignas(1024) Vector shared_memory[kSharedVectors];
#define TESSERA_SHARED(name) Vector* const name = shared_memory

#ifdef TESSERA_HOPPER_KERNELS
#include "tests/unit/workers/kernels/hopper/host_warpgroup.inc"
#include "workers/kernels/hopper/hopper_kernels.cu"
#endif

template <class Value>
Value read(const void* place) {
  Value value;
  std::memcpy(&value, place, sizeof value);
  return value;
}

template <class... Values>
void call(void (*kernel)(Values...), std::span<void*> arguments) {
  TORCH_CHECK(arguments.size() == sizeof...(Values), "a kernel takes ", sizeof...(Values), " arguments, not ",
              arguments.size());
  [&]<std::size_t... places>(std::index_sequence<places...>) {
    kernel(read<Values>(arguments[places])...);
  }
  (std::index_sequence_for<Values...>());
}

using Kernel = void (*)(std::span<void*> arguments);

const std::map<std::string, Kernel>& kernels() {
#define TESSERA_KERNEL(name)                                          \
  {                                                                   \
#name, [](std::span <void*> arguments) { call(name, arguments); } \
  }
  static const std::map<std::string, Kernel> all = {
      TESSERA_KERNEL(tessera_pool),
      TESSERA_KERNEL(tessera_join),
      TESSERA_KERNEL(tessera_first_convolution),
      TESSERA_KERNEL(tessera_classes),
      TESSERA_KERNEL(tessera_bend_input),
      TESSERA_KERNEL(tessera_bend_targets),
      TESSERA_KERNEL(tessera_convolve_bfloat16_large),
      TESSERA_KERNEL(tessera_convolve_bfloat16_narrow),
      TESSERA_KERNEL(tessera_convolve_bfloat16_small),
      TESSERA_KERNEL(tessera_convolve_float16_large),
      TESSERA_KERNEL(tessera_convolve_float16_narrow),
      TESSERA_KERNEL(tessera_convolve_float16_small),
      TESSERA_KERNEL(tessera_convolve_float32_large),
      TESSERA_KERNEL(tessera_convolve_float32_narrow),
      TESSERA_KERNEL(tessera_convolve_float32_small),
#ifdef TESSERA_HOPPER_KERNELS
      TESSERA_KERNEL(tessera_hopper_bfloat16_lines_64),
      TESSERA_KERNEL(tessera_hopper_bfloat16_lines_128),
      TESSERA_KERNEL(tessera_hopper_bfloat16_lines_128_deep),
      TESSERA_KERNEL(tessera_hopper_bfloat16_patches_64),
      TESSERA_KERNEL(tessera_hopper_bfloat16_patches_64_deep),
      TESSERA_KERNEL(tessera_hopper_bfloat16_patches_128),
      TESSERA_KERNEL(tessera_hopper_float16_lines_64),
      TESSERA_KERNEL(tessera_hopper_float16_lines_128),
      TESSERA_KERNEL(tessera_hopper_float16_lines_128_deep),
      TESSERA_KERNEL(tessera_hopper_float16_patches_64),
      TESSERA_KERNEL(tessera_hopper_float16_patches_64_deep),
      TESSERA_KERNEL(tessera_hopper_float16_patches_128),
#endif
  };
#undef TESSERA_KERNEL
  return all;
}

void call(const std::string& name, std::span<void*> arguments) {
  const auto kernel = kernels().find(name);
  TORCH_CHECK(kernel != kernels().end(), "no kernel ", name);
  kernel->second(arguments);
}

/// Runs a block whose threads do not cooperate.
void run_apart(const std::string& name, std::span<void*> arguments) {
  for (threadIdx.x = 0; threadIdx.x < kKernelThreads; ++threadIdx.x)
    call(name, arguments);
}

/// The guard value after the shared memory that a block requested.
constexpr unsigned int kGuard = 0x7fc07fc0U;  // two NaN in bfloat16

void run_together(const std::string& name, std::span<void*> arguments, std::size_t shared_vectors,
                  HostThreads how) {
  require(shared_vectors <= kSharedVectors, "a block requests too much shared memory");
  std::ranges::fill(shared_memory, Vector{{kGuard, kGuard, kGuard, kGuard}});
  block().how = how;
  block().copies.fill({});
  block().products.fill({});
  const auto thread = [&](std::size_t number) {
    threadIdx.x = static_cast<unsigned int>(number);
    call(name, arguments);
  };
  block().threads.run(thread, how.backwards);
  for (const Copies& copies : block().copies) {
    for (const auto& step : copies.steps)
      require(step.empty(), "a block ended before its copies");
  }
  for (const Products& products : block().products) {
    for (const auto& group : products.groups)
      require(group.empty(), "a block ended before its products");
  }
  for (std::size_t i = shared_vectors; i < kSharedVectors; ++i)
    require(std::ranges::all_of(shared_memory[i].words, [](unsigned int word) { return word == kGuard; }),
            "a block wrote beyond its shared memory");
}

}  // namespace

KernelLauncher host_launcher(int& started, HostThreads threads) {
  return [&started, threads](const KernelStart& start, std::span<void*> arguments) {
    constexpr std::int64_t kConcurrentBlocks = 3;  // blocks
    ++started;
    const std::string name = start.name;
    gridDim = {
        static_cast<unsigned int>(start.loops ? std::min(start.blocks_x, kConcurrentBlocks) : start.blocks_x),
        static_cast<unsigned int>(start.blocks_y)};
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
        if (name.starts_with("tessera_convolve") || name.starts_with("tessera_hopper"))
          run_together(name, arguments, static_cast<std::size_t>(start.shared_bytes) / sizeof(Vector),
                       threads);
        else
          run_apart(name, arguments);
      }
    }
  };
}

}  // namespace tessera::testing
