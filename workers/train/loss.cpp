#include "workers/train/loss.h"

#include <ATen/Functions.h>

namespace tessera {

at::Tensor weighted_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& classes, const at::Tensor& weights) {
  if (logits.size(1) == 1) {
    const at::Tensor z = logits.select(1, 0);
    // The logarithm of the true class' probability; its gradient is right at z = 0, too.
    return -(weights * at::log_sigmoid(at::where(classes > 0, z, -z))).sum();
  }
  const at::Tensor log_p = at::log_softmax(logits, 1).gather(1, classes.unsqueeze(1)).squeeze(1);
  return -(weights * log_p).sum();
}

}  // namespace tessera
