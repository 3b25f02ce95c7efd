#include "workers/gradients/reduction_bucket.h"

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

using c10::BFloat16;

constexpr const char* kWhat = "sum the gradients over the workers";

bool has_ended(MPI_Request& request) {
  int done = 0;
  call_mpi(kWhat, [&] { return MPI_Test(&request, &done, MPI_STATUS_IGNORE); });
  return done != 0;
}

/// One collective that sums float32 in place.
class Float32Bucket : public ReductionBucket {
 public:
  Float32Bucket(std::span<float> values, MPI_Comm workers) {
    call_mpi(kWhat, [&] {
      return MPI_Iallreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_FLOAT, MPI_SUM,
                            workers, &request_);
    });
    gathers_ = true;
  }
  void advance(bool) override { done_ = has_ended(request_); }

 private:
  MPI_Request request_ = MPI_REQUEST_NULL;
};

/// Two collectives: each worker receives one slice of every worker's values, sums it in the order of the
/// workers, and sends the sum to all. MPI has no sum of bfloat16.
class Bfloat16Bucket : public ReductionBucket {
 public:
  Bfloat16Bucket(std::span<float> values, MPI_Comm workers, MPI_Comm gathering, int count)
      : values_(values),
        gathering_(gathering),
        slice_(static_cast<std::size_t>(ceil_div(static_cast<std::int64_t>(values.size()), count))),
        sent_(slice_ * static_cast<std::size_t>(count)),
        received_(sent_.size()) {
    std::ranges::transform(values, sent_.begin(), [](float value) { return BFloat16(value); });
    call_mpi(kWhat, [&] {
      return MPI_Ialltoall(sent_.data(), static_cast<int>(slice_), MPI_UINT16_T, received_.data(),
                           static_cast<int>(slice_), MPI_UINT16_T, workers, &request_);
    });
  }

  void advance(bool may_gather) override {
    if (!ended_) ended_ = has_ended(request_);
    if (!ended_) return;
    if (gathers_) {
      std::copy_n(received_.begin(), values_.size(), values_.begin());
      done_ = true;
    } else if (may_gather) {
      gather_sums();
    }
  }

 private:
  void gather_sums() {
    std::vector<float> sum(slice_);
    for (std::size_t from = 0; from < received_.size(); from += slice_) {
      for (std::size_t i = 0; i < slice_; ++i)
        sum[i] += static_cast<float>(received_[from + i]);
    }
    std::ranges::transform(sum, sent_.begin(), [](float value) { return BFloat16(value); });
    call_mpi(kWhat, [&] {
      return MPI_Iallgather(sent_.data(), static_cast<int>(slice_), MPI_UINT16_T, received_.data(),
                            static_cast<int>(slice_), MPI_UINT16_T, gathering_, &request_);
    });
    gathers_ = true;
    ended_ = false;
  }

  std::span<float> values_;
  MPI_Comm gathering_;
  std::size_t slice_;
  std::vector<BFloat16> sent_, received_;
  MPI_Request request_ = MPI_REQUEST_NULL;
  bool ended_ = false;  ///< the collective that began last
};

}  // namespace

std::unique_ptr<ReductionBucket> begin_bucket(std::span<float> values, Wire wire, const Communicator& workers,
                                              const Communicator* gathering) {
  if (wire == Wire::float32) return std::make_unique<Float32Bucket>(values, workers.handle());
  return std::make_unique<Bfloat16Bucket>(values, workers.handle(), gathering->handle(), workers.size());
}

}  // namespace tessera
