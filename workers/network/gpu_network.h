#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "workers/device/gpu_kernels.h"
#include "workers/network/tile_network.h"

namespace tessera {

struct GpuNetworkOptions {
  /// Without a value, kernels are chosen for the first input (kernel_choice.h). Translation-invariant kernels
  /// are autotuned, or chosen heuristically if results must be reproducible (choose_algorithms).
  std::optional<GpuKernels> kernels = std::nullopt;
  ExactTiles exact_tiles = ExactTiles::no;
  /// Records the kernels for inputs of at most `recorded_pixels` pixels, to replay them for later inputs of
  /// the same shape. Empty: nothing is recorded.
  KernelRecorder record = {};
  std::int64_t recorded_pixels = std::int64_t{1} << 20;
  /// Launches the custom CUDA kernels. Empty: LibTorch's kernels are used.
  KernelLauncher launch = {};
  bool hopper = false;  ///< also use the kernels of hopper_kernels.cu
};

/// Whether `make_gpu_network` supports a network.
bool gpu_supports(const NetworkDescription& network);

/// Makes a network for inference on a GPU. Requires `gpu_supports`. All images are channels_last, in
/// `precision`. Batch normalisation is folded into the weights. The up-convolution is a matrix product that
/// is written into the concatenated image, beside the cropped copy. An image's memory is freed after its last
/// use. On the CPU the network computes the same with LibTorch's kernels. Errors: as make_tile_network; Error
/// if `exact_tiles` is yes and exact tiles are not possible.
std::unique_ptr<TileNetwork> make_gpu_network(const Network& network, Precision precision,
                                              const Device& device, const GpuNetworkOptions& options = {});

}  // namespace tessera
