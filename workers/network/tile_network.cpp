#include "workers/network/tile_network.h"

#include "io/base/error.h"
#include "workers/device/cuda_runtime.h"
#include "workers/network/forward_plan.h"
#include "workers/network/gpu_network.h"
#include "workers/network/network.h"
#include "workers/network/network_memory.h"
#include "workers/network/onednn_network.h"

namespace tessera {

bool has_onednn_engine() {
#ifdef TESSERA_ONEDNN
  return true;
#else
  return false;
#endif
}

std::unique_ptr<TileNetwork> make_tile_network(const Network& network, Precision precision,
                                               const Device& device, ExactTiles exact_tiles) {
#ifdef TESSERA_ONEDNN
  if (!device.cuda && onednn_supports(network.description(), precision))
    return make_onednn_network(network, precision);
#endif
  if (device.cuda && gpu_supports(network.description())) {
    return make_gpu_network(network, precision, device,
                            {.exact_tiles = exact_tiles,
                             .record = cuda_recorder(),
                             .launch = cuda_launcher(),
                             .hopper = has_hopper_kernels(device.index)});
  }
  return make_libtorch_network(network, precision, device);
}

std::unique_ptr<TileNetwork> make_reference_network(const Network& network, const Device& device) {
  if (device.cuda && gpu_supports(network.description()))
    return make_gpu_network(network, Precision::float32, device, {.kernels = GpuKernels{}});
  return make_tile_network(network, Precision::float32, device);
}

std::int64_t tile_memory(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                         Precision precision, bool cuda) {
  const std::int64_t value_bytes = precision == Precision::float32 ? 4 : 2;
  const std::int64_t pixels = height * width, classes = network.classes();
  if (!can_plan_forward(network) || (!cuda && !has_onednn_engine()))
    return inference_memory(network, {1, height, width}, value_bytes);
  const std::int64_t planned = plan_forward(network, height, width, value_bytes).bytes;
  if (cuda) {
    // In addition to the activations: cuDNN's workspace, the allocator's rounding, and the input and
    // probabilities in float32.
    constexpr std::int64_t kWorkspace = std::int64_t{512} << 20;
    return planned + planned / 4 + kWorkspace + pixels * 4 * (network.in_channels + 3 * classes);
  }
  // In addition to the activations: the primitives' scratch memory, the input as float32 and in the engine's
  // type, logits and probabilities.
  constexpr std::int64_t kConstant = std::int64_t{3} << 20;
  const std::int64_t per_pixel = network.in_channels * (4 + value_bytes) + classes * 4 + 4;
  return planned + pixels * per_pixel + kConstant;
}

}  // namespace tessera
