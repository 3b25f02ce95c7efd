#include "workers/train/weight_average.h"

#include <ATen/Functions.h>

#include <algorithm>

namespace tessera {

WeightAverage::WeightAverage(double decay, const at::Tensor& parameters)
    : decay_(decay), values_(parameters.detach().clone()) {}

void WeightAverage::update(const at::Tensor& parameters, std::int64_t iteration) {
  const auto t = static_cast<double>(iteration);
  values_.lerp_(parameters, 1 - std::min(decay_, (1 + t) / (10 + t)));
}

}  // namespace tessera
