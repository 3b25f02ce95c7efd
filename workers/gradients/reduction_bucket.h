#pragma once

#include <memory>
#include <span>

#include "io/base/enum_names.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The number format in which gradients are sent. They are summed in float32 in either case.
enum class Wire {
  float32,
  bfloat16,  ///< half the bytes: rounded once before the sum and once after it
};
constexpr auto enum_names(Wire) {
  return std::to_array<EnumName<Wire>>({{Wire::float32, "float32"}, {Wire::bfloat16, "bfloat16"}});
}

/// Consecutive values of a vector that are being summed over the workers, in place, by non-blocking MPI
/// collectives. Not thread-safe: one thread makes all calls, and MPI calls with them.
class ReductionBucket {
 public:
  virtual ~ReductionBucket() = default;
  /// Makes what progress it can without blocking. The collectives of a communicator must begin in the same
  /// order on every worker, so the second collective of a bucket begins only when `may_gather` is true: when
  /// all earlier buckets have begun theirs. Errors: Error when MPI fails.
  virtual void advance(bool may_gather) = 0;
  /// Whether the last collective of the bucket has begun.
  bool gathers() const { return gathers_; }
  /// Whether the sum is in place.
  bool is_done() const { return done_; }

 protected:
  bool gathers_ = false;
  bool done_ = false;
};

/// Collective over the workers, with the same number of values (at most 2^31 - 1) on each: begins the sum.
/// `values` must live until it is done. Every worker ends with the same bits. `gathering`, a duplicate of
/// `workers`, carries the second collective of a bfloat16 bucket; unused and may be null in float32.
/// Errors: Error when MPI fails.
std::unique_ptr<ReductionBucket> begin_bucket(std::span<float> values, Wire wire, const Communicator& workers,
                                              const Communicator* gathering);

}  // namespace tessera
