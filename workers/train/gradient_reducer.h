#pragma once

#include <span>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Sums gradients over the workers, in buckets that travel at the same time.
class GradientReducer {
 public:
  explicit GradientReducer(const Communicator& workers, std::size_t bucket_values = std::size_t{1} << 20)
      : workers_(workers), bucket_values_(bucket_values) {}

  /// Collective over the workers: element-wise sums, in place, on every worker. Divide by the global count
  /// afterwards (sums, then divide).
  void sum(std::span<float> gradient, std::span<double> scalars) const;

 private:
  const Communicator& workers_;
  std::size_t bucket_values_;
};

}  // namespace tessera
