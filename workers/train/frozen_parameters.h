#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "workers/gradients/flat_parameters.h"

namespace tessera {

/// Parameters that a training leaves as they are.
class FrozenParameters {
 public:
  /// Errors: std::out_of_range for a name that the network lacks.
  FrozenParameters(const FlatParameters& parameters, const std::vector<std::string>& names);

  /// Their gradient becomes 0, so that it counts in no norm.
  void clear(at::Tensor& gradient) const;
  /// Keeps the values, which a step may move by weight decay.
  void keep(const at::Tensor& values);
  /// Writes the kept values into a vector of parameters.
  void put_back(at::Tensor& values) const;

 private:
  std::vector<FlatParameters::Entry> entries_;
  std::vector<at::Tensor> kept_;
};

}  // namespace tessera
