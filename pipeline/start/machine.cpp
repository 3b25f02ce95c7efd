#include "pipeline/start/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "workers/device/core_binding.h"
#include "workers/device/cuda_runtime.h"
#include "workers/device/device.h"

namespace tessera {

std::string Machine::text() const {
  const std::string rest =
      fmt::format("{} core{}, {} of memory free", cores, cores == 1 ? "" : "s", bytes_text(memory));
  if (gpus == 0) return rest;
  const std::string name = cuda_name(0);
  return fmt::format("{} GPU{}{}, {}", gpus, gpus == 1 ? "" : "s", name.empty() ? "" : " (" + name + ")",
                     rest);
}

Machine this_machine(const std::string& device) {
  std::set<int> cores;
  for (const Cpu& cpu : CpuTopology().allowed_cpus())
    cores.insert(cpu.core);
  Machine machine;
  machine.cores = std::max(1, static_cast<int>(cores.size()));
  if (const int of_job = slurm_cpus_on_node(); of_job > 0) machine.cores = std::min(machine.cores, of_job);
  machine.memory = available_memory(Device());
  if (device == "cpu") return machine;
  machine.gpus = visible_cuda_devices();
  if (device == "cuda" && machine.gpus == 0) {
    throw UsageError(
        "device: cuda was asked for, but this machine shows no CUDA device (is this a CUDA build of "
        "LibTorch, "
        "and was a GPU requested?)");
  }
  return machine;
}

}  // namespace tessera
