#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

#include "io/base/enum_names.h"

namespace tessera {

struct OptimizerOptions {
  enum class Kind { sgd, adam, adamw };
  Kind kind = Kind::sgd;
  double learning_rate = 1e-3;                        ///< the full rate; a schedule reduces it
  double momentum = 0.99;                             ///< SGD: Ronneberger et al. 2015
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< Adam: Kingma and Ba 2015
  double weight_decay = 0;  ///< added to the gradient (SGD, Adam), or applied to the weights (AdamW)
};
constexpr auto enum_names(OptimizerOptions::Kind) {
  return std::to_array<EnumName<OptimizerOptions::Kind>>({{OptimizerOptions::Kind::sgd, "sgd"},
                                                          {OptimizerOptions::Kind::adam, "adam"},
                                                          {OptimizerOptions::Kind::adamw, "adamw"}});
}

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
