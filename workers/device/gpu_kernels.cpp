#include "workers/device/gpu_kernels.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/cuda.h>

#include "io/base/clock.h"

namespace tessera {

std::string GpuKernels::text() const {
  return fmt::format(
      "{}, {}{}{}", fused ? "convolution with bias and ReLU" : "convolution, then bias and ReLU",
      maxima ? "pooling by maxima" : "LibTorch's pooling", own ? ", custom CUDA kernels" : "",
      ordered.empty() ? "" : fmt::format(", {} layer(s) with a fixed reduction order", ordered.size()));
}

GpuKernels fastest_kernels(std::span<const GpuKernels> ways,
                           const std::function<void(const GpuKernels&)>& run, const KernelTimer& time) {
  GpuKernels best = ways.front();
  double least = time([&] { run(best); });
  for (const GpuKernels& way : ways.subspan(1)) {
    double taken = least;
    try {
      taken = time([&] { run(way); });
    } catch (const c10::Error&) {
      continue;  // not supported by this GPU, or not enough memory
    }
    if (taken >= least) continue;
    least = taken;
    best = way;
  }
  return best;
}

KernelTimer cuda_timer(int index) {
  return [index](const std::function<void()>& kernels) {
    const auto measured = [&](int runs) {
      torch::cuda::synchronize(index);
      const double begin_s = seconds_now();
      for (int i = 0; i < runs; ++i)
        kernels();
      torch::cuda::synchronize(index);
      return (seconds_now() - begin_s) / runs;
    };
    constexpr double kLong_s = 0.02;
    kernels();  // cuDNN chooses algorithms at the first use of a shape
    const double once_s = measured(1);
    return once_s > kLong_s ? once_s : measured(5);
  };
}

}  // namespace tessera
