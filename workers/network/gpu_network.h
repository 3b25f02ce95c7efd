#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "workers/network/tile_network.h"

namespace tessera {

/// Ways to do the same; which is the fastest depends on the card, the version of cuDNN, the precision and the shapes.
struct GpuKernels {
  bool fused = false;   ///< cuDNN's convolution, bias and ReLU in one kernel, in place of one each; CUDA only
  bool maxima = false;  ///< pooling as three maxima of two; else LibTorch's pooling, which writes 8-byte indices, too
  std::string text() const;
};

/// Seconds that some kernels take.
using KernelTimer = std::function<double(const std::function<void()>&)>;
/// The fastest of some ways by the timer, the first of equal ones. A way that throws c10::Error is none, but the first,
/// which must be possible. Errors: c10::Error.
GpuKernels fastest_kernels(std::span<const GpuKernels> ways, const std::function<void(const GpuKernels&)>& run,
                           const KernelTimer& time);
/// Times kernels on a CUDA device.
KernelTimer cuda_timer(int index);

struct GpuNetworkOptions {
  /// Without them the first input decides, by measuring.
  std::optional<GpuKernels> kernels = std::nullopt;
  /// Inputs of at most so many pixels are run as recorded kernels, where CUDA is; 0: none.
  std::int64_t graph_pixels = std::int64_t{1} << 20;
};

/// A U-Net for inference on a GPU: channels_last in the device's precision throughout, batch normalisation folded into the
/// weights, up-convolution as a matrix product whose result goes straight into the concatenated image's place, beside the
/// cropped copy; an image's memory is given back after its last use. On the CPU it is the same in plain kernels.
/// Errors: as make_tile_network.
std::unique_ptr<TileNetwork> make_gpu_network(const UNetImpl& network, Precision precision, const Device& device,
                                              const GpuNetworkOptions& options = {});

}  // namespace tessera
