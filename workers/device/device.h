#pragma once

#include <cstdint>
#include <string>

#include "workers/mpi/communicator.h"

namespace tessera {

/// What a worker computes on.
struct Device {
  bool cuda = false;
  int index = 0;    ///< of the CUDA device
  int threads = 1;  ///< CPU threads of this rank
  int workers_on_node = 1;
  std::int64_t memory = 0;  ///< bytes that the CUDA device has
  std::string name = {};    ///< of the CUDA device; "" where its driver does not say
  std::string cpus = {};    ///< that this rank is bound to, "0-7"; "" when it is not

  std::string text() const;  ///< "cpu, 2 threads", "cpu, 8 threads on 0-7" or "cuda:1, NVIDIA H200"
};

/// Collective. Picks this rank's device by its place among the workers of its node: CUDA device = place
/// modulo visible devices; threads = the cores this rank may use, shared with the other workers that may use
/// the same ones. In a Slurm job step that leaves the binding to us (`--cpu-bind=none`) and keeps the job to
/// its own CPUs, CPU workers are bound to a share of them each (share_of_cpus), before they have memory of
/// any size; elsewhere nobody is bound, for other jobs may be on the same CPUs. `wanted`: "auto", "cpu" or
/// "cuda"; `threads`: 0 for that automatic number. Ranks that are no workers (`is_worker` false: the
/// coordinator beside workers) get the CPU and 1 thread. Sets LibTorch's thread count. Errors: UsageError
/// when CUDA is asked for and absent, or when a node has more workers than visible devices.
Device choose_device(const Communicator& world, bool is_worker, const std::string& wanted, int threads);

/// How LibTorch's CUDA libraries choose their algorithms in a training: those that give the same bits every
/// time where it is `reproducible`, else the fastest ones for the shapes at hand, found by trying. Call it
/// before the device computes. Nothing on the CPU.
void choose_algorithms(const Device& device, bool reproducible);

/// Bytes of host memory that a CPU worker's new allocations can use: the smaller of the node's available
/// memory and what the control groups of this process leave, divided by the node's workers.
std::int64_t available_memory(const Device& device);

/// While it lives, cuDNN's algorithms are those that give the same bits every time, not found by trying; then
/// as before.
class AlgorithmsByRule {
 public:
  explicit AlgorithmsByRule(const Device& device);
  ~AlgorithmsByRule();
  AlgorithmsByRule(const AlgorithmsByRule&) = delete;
  AlgorithmsByRule& operator=(const AlgorithmsByRule&) = delete;

 private:
  bool cuda_, deterministic_, benchmark_;
};

}  // namespace tessera
