#include "workers/train/gradient_reducer.h"

#include <algorithm>
#include <vector>

#include "io/error.h"

namespace tessera {

void GradientReducer::sum(std::span<float> gradient, std::span<double> scalars) const {
  if (workers_.size() == 1) return;
  std::vector<MPI_Request> requests;
  bool failed = false;
  for (std::size_t at = 0; at < gradient.size(); at += bucket_values_) {
    const std::span<float> bucket = gradient.subspan(at, std::min(bucket_values_, gradient.size() - at));
    failed = failed || MPI_Iallreduce(MPI_IN_PLACE, bucket.data(), static_cast<int>(bucket.size()), MPI_FLOAT, MPI_SUM,
                                      workers_.handle(), &requests.emplace_back()) != MPI_SUCCESS;
  }
  failed = failed || MPI_Iallreduce(MPI_IN_PLACE, scalars.data(), static_cast<int>(scalars.size()), MPI_DOUBLE, MPI_SUM,
                                    workers_.handle(), &requests.emplace_back()) != MPI_SUCCESS;
  PoliteWait waiting;
  for (int done = 0; !failed && done == 0;) {
    failed = MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS;
    if (done == 0) waiting.pause();
  }
  if (failed) throw Error("MPI failed to sum the gradients over the workers (did another rank die?)");
}

}  // namespace tessera
