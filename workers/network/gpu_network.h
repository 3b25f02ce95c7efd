#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "workers/device/gpu_kernels.h"
#include "workers/network/tile_network.h"

namespace tessera {

struct GpuNetworkOptions {
  /// Without them the first input decides (kernel_choice.h): the translation-invariant kernels are autotuned,
  /// or chosen heuristically where results must be equal in every run (choose_algorithms).
  std::optional<GpuKernels> kernels = std::nullopt;
  ExactTiles exact_tiles = ExactTiles::no;
  /// How inputs of at most so many pixels, which come again and again, are recorded; empty: they are not.
  KernelRecorder record = {};
  std::int64_t recorded_pixels = std::int64_t{1} << 20;
  /// Starts the custom CUDA kernels; empty: LibTorch's kernels are used.
  KernelLauncher launch = {};
  bool hopper = false;  ///< those of hopper_kernels.cu, too
};

/// Whether `make_gpu_network` computes such a network.
bool gpu_supports(const NetworkDescription& network);

/// A network for inference on a GPU: channels_last in the device's precision throughout, batch normalisation
/// folded into the weights, up-convolution as a matrix product whose result goes straight into the
/// concatenated image's place, beside the cropped copy; an image's memory is given back after its last use.
/// On the CPU it is the same in plain kernels. Only where `gpu_supports`. Errors: as make_tile_network; Error
/// where tiles cannot be exact and must be.
std::unique_ptr<TileNetwork> make_gpu_network(const Network& network, Precision precision,
                                              const Device& device, const GpuNetworkOptions& options = {});

}  // namespace tessera
