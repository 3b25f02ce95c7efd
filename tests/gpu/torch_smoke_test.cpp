// scripts/gpu-check builds and runs this first. It prints LibTorch's version, computes, and checks that
// std::filesystem is the compiler's: PyTorch's Python package exports an older one.
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <torch/cuda.h>
#include <torch/version.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

namespace {

/// The compiler's library removes folders.
bool removes_folders() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("torch_smoke_test." + std::to_string(getpid()));
  std::filesystem::create_directories(folder / "a" / "b");
  std::filesystem::create_directories(folder / "c");
  return std::filesystem::remove_all(folder) == 4 && !std::filesystem::exists(folder);
}

}  // namespace

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
    const bool removed = removes_folders();
    std::puts(removed ? "folders are removed" : "std::filesystem does not remove folders");
    return sum == kSide * kSide * kSide && removed ? 0 : 1;
  } catch (const std::exception& error) {
    std::puts(error.what());
    return 1;
  }
}
