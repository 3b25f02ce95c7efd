#pragma once

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

}  // namespace tessera
