#include "workers/gradients/loss.h"

#include <ATen/Functions.h>

#include "workers/samples/pixel_weights.h"

namespace tessera {

at::Tensor weighted_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& classes,
                                      const at::Tensor& weights) {
  const at::Tensor counts = classes.ne(kIgnoredClass);
  const at::Tensor counted_weights = weights * counts;
  if (logits.size(1) == 1) {
    const at::Tensor z = logits.select(1, 0);
    // The logarithm of the true class's probability; its gradient is also correct at z = 0.
    return -(counted_weights * at::log_sigmoid(at::where(classes > 0, z, -z))).sum();
  }
  const at::Tensor truth = classes * counts;  // ignored pixels become class 0, with weight 0
  const at::Tensor log_p = at::log_softmax(logits, 1).gather(1, truth.unsqueeze(1)).squeeze(1);
  return -(counted_weights * log_p).sum();
}

at::Tensor dice_losses(const at::Tensor& logits, const at::Tensor& classes) {
  const at::Tensor counts = classes.ne(kIgnoredClass);
  const bool one = logits.size(1) == 1;
  const at::Tensor probabilities = one ? logits.sigmoid() : at::softmax(logits, 1);
  at::Tensor losses = at::zeros({logits.size(0)}, logits.options());
  const std::int64_t last = one ? 1 : logits.size(1) - 1;
  for (std::int64_t c = 1; c <= last; ++c) {
    const at::Tensor p = probabilities.select(1, one ? 0 : c) * counts;
    const at::Tensor t = (classes.eq(c) & counts).to(logits.scalar_type());
    const at::Tensor overlap = (p * t).sum({1, 2});
    losses = losses + 1 - (2 * overlap + 1) / (p.sum({1, 2}) + t.sum({1, 2}) + 1);
  }
  return losses / last;
}

at::Tensor loss_sum(const at::Tensor& logits, const at::Tensor& classes, const at::Tensor& weights,
                    double dice_weight) {
  const at::Tensor entropy = weighted_cross_entropy_sum(logits, classes, weights);
  if (dice_weight == 0) return entropy;
  return entropy + dice_weight * (dice_losses(logits, classes) * weights.sum({1, 2})).sum();
}

}  // namespace tessera
