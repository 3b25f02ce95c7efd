#pragma once

#include <cstdint>
#include <string>

namespace tessera {

/// What this process may use of the machine.
struct Machine {
  int cores = 1;
  int gpus = 0;             ///< 0 where the experiment is to run on the CPU
  std::int64_t memory = 0;  ///< bytes of host memory that are free, by the node and by control groups

  /// The most workers that it makes sense to start.
  int workers() const { return gpus > 0 ? gpus : cores; }
  /// "2 cores, 22 GiB of memory free", "2 GPUs (NVIDIA H200), 16 cores, ...".
  std::string text() const;
};

/// `device`: that of the experiment, auto, cpu or cuda. Errors: UsageError when CUDA is required and absent.
Machine this_machine(const std::string& device);

}  // namespace tessera
