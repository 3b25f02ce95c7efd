#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tessera {

/// The sums of one step over its samples, and the means that follow from them. On a GPU they can stay there:
/// the host then queues many steps and reads the means of all of them at once.
class StepSums {
 public:
  /// `device`: where the sums are kept.
  explicit StepSums(const at::Device& device);

  /// Before a step.
  void clear();
  /// Adds samples. `loss`: their sum, a scalar. `predicted`, the predicted classes, and `classes`: (n, h, w)
  /// int64. `weights`: (n, h, w), floating point. Waits for the device of the samples if the sums are kept on
  /// another one.
  void add(const at::Tensor& loss, const at::Tensor& weights, const at::Tensor& predicted,
           const at::Tensor& classes);
  /// (4) float64: loss, weight, wrong pixels, judged pixels. To be summed over the workers.
  at::Tensor& values() { return values_; }

  struct Means {
    double weight = 0;       ///< the divisor of loss and gradient, at least kLeastWeight
    double loss = 0;         ///< per unit of weight
    double pixel_error = 0;  ///< share of the judged pixels; NaN without any
    double gradient_norm = 0;
  };
  /// The means of this step, without the gradient's norm. Waits for the device.
  Means means() const;

  /// Ends a step on the device of the sums: divides `gradient`, a sum, by the weight, clips its norm to
  /// `clip_norm` (0: no limit), in place, and queues the means for read().
  void finish(at::Tensor& gradient, double clip_norm);
  /// The means, without the weight, of the steps that finish() has ended since the last read. Waits for the
  /// device.
  std::vector<Means> read();
  void drop() { rows_.clear(); }

 private:
  at::Tensor values_;
  std::vector<at::Tensor> rows_;  ///< (3) float64: loss, pixel error, gradient norm
};

}  // namespace tessera
