#include "workers/network/tile_network.h"

#include "io/base/error.h"
#include "workers/device/cuda_runtime.h"
#include "workers/network/forward_plan.h"
#include "workers/network/gpu_network.h"
#include "workers/network/onednn_network.h"
#include "workers/network/unet.h"

namespace tessera {

std::string name_of(Precision precision) {
  switch (precision) {
    case Precision::bfloat16:
      return "bfloat16";
    case Precision::float16:
      return "float16";
    case Precision::float32:
      break;
  }
  return "float32";
}

bool has_onednn_engine() {
#ifdef TESSERA_ONEDNN
  return true;
#else
  return false;
#endif
}

std::unique_ptr<TileNetwork> make_tile_network(const UNetImpl& network, Precision precision,
                                               const Device& device, ExactTiles exact_tiles) {
#ifdef TESSERA_ONEDNN
  if (!device.cuda && precision != Precision::float16) return make_onednn_network(network, precision);
#endif
  if (device.cuda) {
    return make_gpu_network(network, precision, device,
                            {.exact_tiles = exact_tiles,
                             .record = cuda_recorder(),
                             .launch = cuda_launcher(),
                             .hopper = has_hopper_kernels(device.index)});
  }
  return make_libtorch_network(network, precision, device);
}

std::unique_ptr<TileNetwork> make_reference_network(const UNetImpl& network, const Device& device) {
  if (device.cuda) return make_gpu_network(network, Precision::float32, device, {.kernels = GpuKernels{}});
  return make_tile_network(network, Precision::float32, device);
}

std::int64_t tile_memory(const UNetOptions& options, std::int64_t height, std::int64_t width,
                         Precision precision, bool cuda) {
  const std::int64_t value_bytes = precision == Precision::float32 ? 4 : 2;
  if (cuda) {
    // Beside the activations: what cuDNN's convolutions use, the allocator's rounding, input and
    // probabilities in float32.
    constexpr std::int64_t kWorkspace = std::int64_t{512} << 20;
    const std::int64_t planned = plan_forward(options, height, width, value_bytes).bytes;
    return planned + planned / 4 + kWorkspace +
           height * width * 4 * (options.in_channels + 3 * options.classes);
  }
  if (!has_onednn_engine()) return inference_memory(options, height, width, value_bytes);
  // Beside the activations: the primitives' scratch memory; the input as float32 and in the engine's type;
  // logits, and the probabilities made of them.
  constexpr std::int64_t kConstant = std::int64_t{3} << 20;
  const std::int64_t per_pixel = options.in_channels * (4 + value_bytes) + options.classes * 4 + 4;
  return plan_forward(options, height, width, value_bytes).bytes + height * width * per_pixel + kConstant;
}

}  // namespace tessera
