// Compiled, linked and run by scripts/gpu-check before all else: says what LibTorch this is and whether it
// computes.
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

int main() {
  try {
    const auto devices = static_cast<int>(torch::cuda::device_count());
    std::puts(
        fmt::format("LibTorch {} sees {} CUDA device{}", TORCH_VERSION, devices, devices == 1 ? "" : "s")
            .c_str());
    if (devices == 0 && std::getenv("TESSERA_NEEDS_GPU") != nullptr) return 1;
    constexpr std::int64_t kSide = 64;
    const at::Tensor ones =
        at::ones({kSide, kSide}, at::TensorOptions(at::kFloat).device(devices > 0 ? at::kCUDA : at::kCPU));
    const double sum = at::mm(ones, ones).sum().item<double>();
    std::puts(fmt::format("a product of ones sums up to {}", sum).c_str());
    return sum == kSide * kSide * kSide ? 0 : 1;
  } catch (const std::exception& error) {
    std::puts(error.what());
    return 1;
  }
}
