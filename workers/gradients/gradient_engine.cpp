#include "workers/gradients/gradient_engine.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "io/base/error.h"
#include "workers/device/cuda_runtime.h"
#include "workers/network/forward_plan.h"
#include "workers/network/network.h"
#include "workers/network/network_memory.h"
#include "workers/network/tile_network.h"

namespace tessera {
namespace {

/// Bytes of scratch memory of oneDNN's primitives, estimated.
constexpr std::int64_t kScratch = std::int64_t{48} << 20;

}  // namespace

bool has_onednn_gradients(const NetworkDescription& network) {
  return has_onednn_engine() && can_plan_gradient(network);
}

bool is_faster_in_bfloat16(const NetworkDescription& network, bool cuda) {
  if (cuda) return true;
#if defined(__x86_64__) && defined(__GNUC__)
  return has_onednn_gradients(network) && __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

std::int64_t training_memory(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                             Precision precision, bool cuda) {
  if (cuda ? !can_plan_gradient(network) : !has_onednn_gradients(network))
    return training_memory(network, {1, height, width});
  const std::int64_t value_bytes = precision == Precision::float32 ? 4 : 2;
  // A parameter, its gradient, two values of the optimizer; its layer's weights packed for both passes, and
  // rotated.
  const std::int64_t per_parameter = 16 + 2 * value_bytes + 4;
  // Input, weights and classes of three samples; the loss, its gradient and their intermediates.
  const std::int64_t per_pixel = 3 * (4 * network.in_channels + 9) + value_bytes * network.in_channels +
                                 20 * std::max<std::int64_t>(2, network.classes()) + 32;
  // Images are rearranged to compute the gradients of weights: by oneDNN in bfloat16, by us in float32.
  const std::int64_t widest = widest_image(network), rearranged = value_bytes == 2 ? widest : widest / 2;
  const std::int64_t planned = plan_gradient(network, height, width, value_bytes).bytes;
  if (cuda) {
    // In addition to the images: the indices of the maxima, 8 bytes each, half as many on each deeper level,
    // and the allocator's rounding.
    constexpr std::int64_t kWorkspace = std::int64_t{512} << 20;
    return planned + planned / 4 + 2 * widest * height * width + per_parameter * parameter_count(network) +
           per_pixel * height * width + kWorkspace;
  }
  return planned + per_parameter * parameter_count(network) + (per_pixel + rearranged) * height * width +
         kScratch;
}

std::unique_ptr<GradientEngine> make_gradient_engine(FlatParameters& parameters, Precision precision,
                                                     std::int64_t samples_at_once) {
  // LibTorch chooses its number of threads at the first parallel loop unless one was set. oneDNN must not
  // split its sums by another number before that.
  at::get_num_threads();
  if (precision == Precision::float16)
    throw UsageError("training runs in float32 or bfloat16, not in float16");
#ifdef TESSERA_ONEDNN
  if (parameters.device().is_cpu() && samples_at_once == 1 &&
      has_onednn_gradients(parameters.network().description())) {
    return make_onednn_engine(parameters, precision);
  }
#endif
  if (parameters.device().is_cuda() && can_plan_gradient(parameters.network().description()))
    return make_gpu_engine(parameters, precision,
                           {.time = cuda_timer(parameters.device().index()),
                            .record = cuda_recorder(),
                            .launch = cuda_launcher()});
  return make_autograd_engine(parameters, precision, samples_at_once);
}

}  // namespace tessera
