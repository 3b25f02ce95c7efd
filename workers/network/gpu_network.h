#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "workers/device/gpu_kernels.h"
#include "workers/network/tile_network.h"

namespace tessera {

/// In the text() of a network that says the same of a pixel, bit for bit, wherever it is in a tile; and
/// behind it, of whatever size.
constexpr const char* kTranslationInvariant = ", alike at every place";
constexpr const char* kShapeInvariant = " and in every size";

struct GpuNetworkOptions {
  /// Without them the first input decides (kernel_choice.h): the fastest of those that are alike at every
  /// place by measuring, or, where results are to be the same every time (choose_algorithms), the first by
  /// rule.
  std::optional<GpuKernels> kernels = std::nullopt;
  ExactTiles exact_tiles = ExactTiles::no;
  /// How inputs of at most so many pixels, which come again and again, are recorded; empty: they are not.
  KernelRecorder record = {};
  std::int64_t recorded_pixels = std::int64_t{1} << 20;
  /// Starts Tessera's own kernels; empty: LibTorch's do their work.
  KernelLauncher launch = {};
  bool hopper = false;  ///< those of hopper_kernels.cu, too
};

/// A U-Net for inference on a GPU: channels_last in the device's precision throughout, batch normalisation
/// folded into the weights, up-convolution as a matrix product whose result goes straight into the
/// concatenated image's place, beside the cropped copy; an image's memory is given back after its last use.
/// On the CPU it is the same in plain kernels. Errors: as make_tile_network; Error where tiles cannot be
/// exact and must be.
std::unique_ptr<TileNetwork> make_gpu_network(const UNetImpl& network, Precision precision,
                                              const Device& device, const GpuNetworkOptions& options = {});

}  // namespace tessera
