#include "workers/train/gradient_engine.h"

#include "io/error.h"
#include "workers/network/forward_plan.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"

namespace tessera {

bool has_onednn_gradients(const UNetOptions& options) {
  return has_onednn_engine() && can_plan_gradient(options);
}

std::unique_ptr<GradientEngine> make_gradient_engine(FlatParameters& parameters, Precision precision) {
  if (precision == Precision::float16)
    throw UsageError("training runs in float32 or bfloat16, not in float16");
#ifdef TESSERA_ONEDNN
  if (parameters.device().is_cpu() && has_onednn_gradients(parameters.network().options())) {
    return make_onednn_engine(parameters, precision);
  }
#endif
  return make_autograd_engine(parameters, precision);
}

}  // namespace tessera
