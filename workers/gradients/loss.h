#pragma once

#include <ATen/core/Tensor.h>

namespace tessera {

/// The weighted cross-entropy, the energy of Ronneberger et al. 2015, eq. 1, as a sum: -sum over pixels of
/// w(x) log p_l(x)(x), in log space. `logits` (batch, classes, h, w) floating point; with one class the
/// sigmoid's cross-entropy. `classes` (batch, h, w) int64 in [0, classes), or kIgnoredClass for pixels that
/// are ignored, whatever their weight; `weights` (batch, h, w) of the type of `logits`. Divide by the sum of
/// the weights of the whole global batch for the mean.
at::Tensor weighted_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& classes,
                                      const at::Tensor& weights);

/// The soft Dice loss of each sample, (batch), in [0, 1]: 1 - (2 sum p t + 1) / (sum p + sum t + 1) over the
/// pixels that are not ignored, p the probability and t the truth of a class (Milletari et al. 2016, with
/// sums of p in place of its squares, and 1 on both sides so that an absent class is defined), the mean over
/// all classes but 0.
at::Tensor dice_losses(const at::Tensor& logits, const at::Tensor& classes);

/// weighted_cross_entropy_sum plus, for each sample, dice_weight times the sum of its weights times its Dice
/// loss: a sum, too, whose mean per weight is cross-entropy + dice_weight * Dice. `weights` of ignored pixels
/// are 0.
at::Tensor loss_sum(const at::Tensor& logits, const at::Tensor& classes, const at::Tensor& weights,
                    double dice_weight);

}  // namespace tessera
