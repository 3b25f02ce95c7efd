#pragma once

#include <cstdint>
#include <string>

#include "workers/mpi/communicator.h"

namespace tessera {

/// The device of a worker.
struct Device {
  bool cuda = false;
  int index = 0;    ///< of the CUDA device
  int threads = 1;  ///< CPU threads of this rank
  int workers_on_node = 1;
  std::int64_t memory = 0;  ///< bytes of the CUDA device, free and used
  std::string name = {};    ///< of the CUDA device; "" if its driver does not say
  std::string cpus = {};    ///< to which this rank is bound, "0-7"; "" if it is not bound

  std::string text() const;  ///< "cpu, 2 threads", "cpu, 8 threads on 0-7" or "cuda:1, NVIDIA H200"
};

/// Collective. Chooses this rank's device by its index among the workers of its node. A node is found by
/// MPI_COMM_TYPE_SHARED, never by a host name.
/// - CUDA device: the index modulo the visible devices.
/// - Threads: the CPUs that this rank may use, divided by the workers of the node that may use the same ones.
/// - Binding: in a Slurm job step without binding (`--cpu-bind=none`) that keeps the job to its own CPUs,
/// each
///   CPU worker is bound to a share of them (share_of_cpus). This happens before it allocates much memory.
///   Elsewhere nothing is bound, because other jobs may use the same CPUs.
/// `wanted`: "auto", "cpu" or "cuda". `threads`: 0 for the automatic number. A rank that is no worker
/// (`is_worker` false: the coordinator beside workers) gets the CPU and 1 thread. Sets LibTorch's thread
/// count. Errors: UsageError if CUDA is required and absent, or if a node has more workers than visible
/// devices.
Device choose_device(const Communicator& world, bool is_worker, const std::string& wanted, int threads);

/// Collective. The same for work without LibTorch, on the CPU: LibTorch's threads are not started.
Device choose_cores(const Communicator& world, bool is_worker, int threads);

/// The number of CUDA devices that this process sees; 0 in a build without CUDA.
int visible_cuda_devices();

/// Sets how LibTorch's CUDA libraries choose algorithms in a training. `reproducible`: deterministic ones,
/// chosen heuristically; else the fastest ones for the shapes, autotuned. Call it before the device computes.
/// Does nothing on the CPU.
void choose_algorithms(const Device& device, bool reproducible);

/// Bytes of host memory that a CPU worker can still allocate: the smaller of the node's available memory and
/// what the control groups of this process leave, divided by the node's workers.
std::int64_t available_memory(const Device& device);

/// While it lives, cuDNN uses deterministic algorithms, chosen heuristically. Then the former settings
/// return.
class HeuristicAlgorithms {
 public:
  explicit HeuristicAlgorithms(const Device& device);
  ~HeuristicAlgorithms();
  HeuristicAlgorithms(const HeuristicAlgorithms&) = delete;
  HeuristicAlgorithms& operator=(const HeuristicAlgorithms&) = delete;

 private:
  bool cuda_, deterministic_, benchmark_;
};

}  // namespace tessera
