#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Sums over the workers that stay on their GPUs: NVIDIA's NCCL, which CUDA builds of LibTorch bring along.
/// It is found when the program runs, so that one program serves machines with and without it; MPI brings the
/// workers together.
class NcclSum {
 public:
  /// Collective over the workers, with each worker's CUDA device current. `library` is loaded unless the
  /// process has it already. Null, on every worker, where a worker lacks it; why is said in `reason`. Errors:
  /// Error when NCCL is there and fails to start.
  static std::unique_ptr<NcclSum> create(const Communicator& workers, const std::string& library,
                                         std::string& reason);
  NcclSum(const NcclSum&) = delete;
  NcclSum& operator=(const NcclSum&) = delete;
  /// Leaves NCCL's own communicator to the end of the process: ending it could wait for workers that are
  /// gone.
  ~NcclSum();

  /// Collective over the workers, with the same count: element-wise sums in the device's memory, in place, in
  /// the order of a CUDA stream (null: the device's default one), which the host does not wait for. Errors:
  /// Error.
  void sum(float* values, std::size_t count, void* stream = nullptr) const;
  void sum(double* values, std::size_t count, void* stream = nullptr) const;

 private:
  struct Library;
  NcclSum();
  void sum(void* values, std::size_t count, int type, void* stream) const;

  std::unique_ptr<Library> library_;
};

}  // namespace tessera
