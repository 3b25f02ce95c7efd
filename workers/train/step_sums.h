#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tessera {

/// What a step sums over its samples, kept on the network's device, and what follows from the sums: the host
/// queues steps and reads many of them at once.
class DeviceSums {
 public:
  explicit DeviceSums(const at::Device& device);

  /// Before a step.
  void clear();
  /// Of samples of which `loss` is the sum; `answer`, the likeliest class, and `classes` (n, h, w) int64,
  /// `weights` likewise floating point.
  void add(const at::Tensor& loss, const at::Tensor& weights, const at::Tensor& answer,
           const at::Tensor& classes);
  /// (4) float64: loss, weight, wrong and judged pixels; to be summed over the workers.
  at::Tensor& values() { return values_; }
  /// Makes the mean gradient of a sum of gradients, no longer than `clip_norm` (0: of any length), in place,
  /// and ends the step.
  void finish(at::Tensor& gradient, double clip_norm);

  struct Row {
    double loss = 0;         ///< mean
    double pixel_error = 0;  ///< share of the judged pixels
    double gradient_norm = 0;
  };
  /// The steps since the last read. Waits for the device.
  std::vector<Row> read();
  void drop() { rows_.clear(); }

 private:
  at::Tensor values_;
  std::vector<at::Tensor> rows_;  ///< as Row, (3) float64
};

}  // namespace tessera
