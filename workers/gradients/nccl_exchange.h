#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "workers/mpi/nccl_sum.h"

namespace tessera {

/// Sums a vector in the device's memory over the workers while it is still being computed, as GradientReducer
/// does in the host's. What is final travels in buckets on a stream of its own, beside the computation;
/// nothing makes the host wait. One use:
///
///     reducer.begin(gradient);
///     ... reducer.ready(n), from the thread that queues the computation of what is now final ...
///     reducer.finish(scalars);
class NcclReducer {
 public:
  /// `nccl` sums in memory of `device`.
  NcclReducer(std::unique_ptr<NcclSum> nccl, const at::Device& device,
              std::int64_t bucket_values = std::int64_t{1} << 18);
  ~NcclReducer();

  /// Whether buckets travel beside the computation, and not in turn with it.
  bool overlaps() const;

  /// `vector`, float32, must live until what follows finish() is done.
  void begin(const at::Tensor& vector);
  /// So many values at the front are final once the computation queued so far is done. Never falls.
  void ready(std::int64_t values);
  /// Collective over the workers: the rest of the vector, and `scalars`, float64. The computation that is
  /// queued after it waits for the sums. Errors: Error.
  void finish(at::Tensor& scalars);

 private:
  struct Streams;
  void send(std::int64_t end);
  void wait_for_computation();

  std::unique_ptr<NcclSum> nccl_;
  std::int64_t bucket_values_;
  std::unique_ptr<Streams> streams_;  ///< null: all is in the order of the default stream
  at::Tensor vector_;
  std::int64_t sent_ = 0;
};

}  // namespace tessera
