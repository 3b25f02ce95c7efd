#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

#include "workers/train/optimizer_options.h"

namespace tessera {

/// Steps on one flat parameter vector, in place. SGD: v = momentum v + g, p -= rate v. Adam with bias
/// correction. AdamW: Adam, and in addition p -= rate decay p (Loshchilov and Hutter 2019). The state
/// consists of tensors, so that a checkpoint can hold it and a resumed run is bit-equal.
class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, const at::Tensor& parameters);

  /// `gradient` has the parameters' shape; both are contiguous. `iteration` counts from 1; `learning_rate` is
  /// that of this step.
  void step(at::Tensor& parameters, const at::Tensor& gradient, std::int64_t iteration, double learning_rate);
  std::map<std::string, at::Tensor>& state() { return state_; }
  const std::map<std::string, at::Tensor>& state() const { return state_; }

 private:
  OptimizerOptions options_;
  std::map<std::string, at::Tensor> state_;
};

}  // namespace tessera
