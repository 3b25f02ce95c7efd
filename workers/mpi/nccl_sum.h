#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Sums over the workers in GPU memory, by NVIDIA's NCCL, which is part of CUDA builds of LibTorch. It is
/// loaded at run time, so that one program runs with and without it. The workers find each other by MPI.
class NcclSum {
 public:
  /// Collective over the workers, with each worker's CUDA device current. Loads `library` unless the process
  /// has it already. Returns null on every worker if any worker lacks it, with the cause in `reason`. Errors:
  /// Error if NCCL exists and fails to start.
  static std::unique_ptr<NcclSum> create(const Communicator& workers, const std::string& library,
                                         std::string& reason);
  NcclSum(const NcclSum&) = delete;
  NcclSum& operator=(const NcclSum&) = delete;
  /// Does not destroy NCCL's communicator: that could wait for workers that have ended.
  ~NcclSum();

  /// Collective over the workers, with the same count: element-wise sums in device memory, in place. They run
  /// in a CUDA stream (null: the default stream); the host does not wait. Errors: Error.
  void sum(float* values, std::size_t count, void* stream = nullptr) const;
  void sum(double* values, std::size_t count, void* stream = nullptr) const;

 private:
  struct Library;
  NcclSum();
  void sum(void* values, std::size_t count, int type, void* stream) const;

  std::unique_ptr<Library> library_;
};

}  // namespace tessera
