#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/gradients/sample_range.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Sums the vectors of a global batch's samples in a fixed reduction order: a binary tree over the samples'
/// numbers. So the bits of the sum do not depend on the number of workers. Every worker sums the complete
/// subtrees of its own samples (samples_of). The workers exchange these partial sums, each completes the tree
/// for one slice of the vector, and the slices are gathered on all. Not thread-safe.
class SampleTree {
 public:
  /// `workers` must outlive it.
  SampleTree(const Communicator& workers, std::int64_t global_batch)
      : workers_(workers), global_batch_(global_batch) {}

  /// Not collective. This worker's next sample, in order: its vector, and scalars that are summed likewise.
  /// All samples of all workers have the same number of values and of scalars.
  void add(std::span<const float> values, std::span<const double> scalars);
  /// Collective over the workers, after all own samples: the sums, on every worker. Then the tree is empty.
  /// Errors: Error when MPI fails.
  void sum(std::span<float> values, std::span<double> scalars);

 private:
  /// The sum of samples [first, first + 2^level); those beyond the batch count as absent.
  struct Part {
    std::int64_t first = 0;
    int level = 0;
    std::vector<float> values = {};
    std::vector<double> scalars = {};
  };
  /// The parts that a worker has after all its samples, without their content.
  std::vector<Part> parts_of(int worker) const;
  static bool are_siblings(const Part& left, const Part& right);
  template <class T>
  void sum_over_workers(std::vector<T> Part::*content, MPI_Datatype type, std::span<T> result) const;

  const Communicator& workers_;
  std::int64_t global_batch_, added_ = 0;
  std::vector<Part> own_;
  std::vector<std::vector<float>> spare_;  ///< memory of merged parts, for reuse
};

}  // namespace tessera
