#include "workers/device/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>
#include <torch/cuda.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "io/base/error.h"
#include "workers/device/core_binding.h"
#include "workers/device/cuda_runtime.h"
#include "workers/device/torch_threads.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

std::int64_t read_number(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::int64_t value = 0;
  return in >> value ? value : -1;
}

/// Bytes of a control group's memory that cache files. The system frees them when memory is needed.
std::int64_t file_cache(const std::filesystem::path& statistics) {
  std::ifstream in(statistics);
  std::int64_t sum = 0, bytes = 0;
  for (std::string key; in >> key >> bytes;) {
    if (key == "inactive_file" || key == "active_file") sum += bytes;
  }
  return sum;
}

/// Bytes that the control groups (version 2) of this process leave of their limits, from its own group up to
/// the root. Batch systems set the limit of a job some levels up.
std::int64_t memory_left_by_control_groups() {
  std::int64_t left = std::numeric_limits<std::int64_t>::max();
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.rfind("0::/", 0) != 0) continue;
    for (std::filesystem::path group = line.substr(3);; group = group.parent_path()) {
      const std::filesystem::path folder = std::filesystem::path("/sys/fs/cgroup") / group.relative_path();
      const std::int64_t limit = read_number(folder / "memory.max");
      const std::int64_t used = read_number(folder / "memory.current") - file_cache(folder / "memory.stat");
      if (limit > 0) left = std::min(left, std::max<std::int64_t>(0, limit - used));
      if (group == group.parent_path()) break;
    }
  }
  return left;
}

/// Keeps partial sums of a product in float32. LibTorch before 2.0 always does so.
void sum_products_in_float32(auto& context) {
  context.setAllowFP16ReductionCuBLAS(false);
  if constexpr (requires { context.setAllowBF16ReductionCuBLAS(false); })
    context.setAllowBF16ReductionCuBLAS(false);
}

/// This rank among the workers of its node.
struct NodePlace {
  int workers = 0;  ///< of the node
  int index = 0;    ///< how many of them have a lower rank
  int sharing = 0;  ///< how many of them may use the same CPUs as this rank, itself included
};

/// Collective.
NodePlace place_on_node(const Communicator& world, bool is_worker, const std::vector<Cpu>& cpus) {
  std::vector<int> ids;
  for (const Cpu& cpu : cpus)
    ids.push_back(cpu.id);
  const std::string as_worker = "worker on " + cpu_list_text(ids);
  const Communicator node = world.node();
  const std::vector<std::string> ranks = node.all_gather(is_worker ? as_worker : "");
  NodePlace place;
  for (int rank = 0; rank < node.size(); ++rank) {
    const std::string& other = ranks[static_cast<std::size_t>(rank)];
    if (other.empty()) continue;
    ++place.workers;
    if (rank < node.rank()) ++place.index;
    if (other == as_worker) ++place.sharing;
  }
  return place;
}

/// Makes one of the visible CUDA devices this worker's, where there are some.
void choose_cuda_device(Device& device, const NodePlace& place, bool required, int rank) {
  const int visible = visible_cuda_devices();
  if (visible == 0) {
    if (!required) return;
    throw UsageError(
        fmt::format("device: cuda was asked for, but {} shows no CUDA device to rank {} (is this a CUDA "
                    "build of LibTorch, and was a GPU requested?)",
                    host_name(), rank));
  }
  if (place.workers > visible) {
    throw UsageError(
        fmt::format("{} has {} workers but {} visible CUDA devices: start one worker per device, or set "
                    "device: cpu",
                    host_name(), place.workers, visible));
  }
  device.cuda = true;
  device.index = place.index % visible;
  // For this thread; other threads name the device where they use it.
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(
      at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device.index)));
  device.memory = cuda_memory();
  device.name = cuda_name(device.index);
}

}  // namespace

std::string Device::text() const {
  if (cuda) return fmt::format("cuda:{}{}{}", index, name.empty() ? "" : ", ", name);
  return fmt::format("cpu, {} thread{}{}", threads, threads == 1 ? "" : "s",
                     cpus.empty() ? "" : " on " + cpus);
}

int visible_cuda_devices() {
  return static_cast<int>(torch::cuda::device_count());
}

namespace {

/// The device of a rank, before LibTorch's threads start.
Device device_of_rank(const Communicator& world, bool is_worker, const std::string& wanted, int threads) {
  Device device;
  const CpuTopology topology;
  const std::vector<Cpu> cpus = topology.allowed_cpus();
  const NodePlace place = place_on_node(world, is_worker, cpus);
  on_every_rank(world, [&] {
    if (is_worker && wanted != "cpu") choose_cuda_device(device, place, wanted == "cuda", world.rank());
  });
  device.workers_on_node = std::max(1, place.workers);
  if (device.cuda) {
    // TensorFloat-32 keeps 10 bits of the mantissa: float32 is to mean float32.
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    sum_products_in_float32(at::globalContext());
  }
  const int job_cpus = slurm_cpus_on_node();
  if (is_worker && !device.cuda && place.sharing == place.workers &&
      job_cpus == static_cast<int>(cpus.size())) {
    // The job's own CPUs, and all its workers of this node may use all of them. No other job runs on them,
    // so they can be divided.
    const std::vector<int> share = share_of_cpus(cpus, place.workers, place.index);
    if (!share.empty() && topology.bind(share)) device.cpus = cpu_list_text(share);
  }
  int usable = std::max(1, static_cast<int>(cpus.size()));
  if (job_cpus > 0) usable = std::min(usable, job_cpus);
  device.threads = !is_worker ? 1 : threads > 0 ? threads : std::max(1, usable / std::max(1, place.sharing));
  return device;
}

}  // namespace

Device choose_device(const Communicator& world, bool is_worker, const std::string& wanted, int threads) {
  const Device device = device_of_rank(world, is_worker, wanted, threads);
  set_torch_threads(device.threads);
  return device;
}

Device choose_cores(const Communicator& world, bool is_worker, int threads) {
  return device_of_rank(world, is_worker, "cpu", threads);
}

void choose_algorithms(const Device& device, bool reproducible) {
  if (!device.cuda) return;
  at::globalContext().setDeterministicCuDNN(reproducible);
  at::globalContext().setBenchmarkCuDNN(!reproducible);
  // cuBLAS is deterministic only with a fixed workspace (its documentation, "reproducibility").
  if (reproducible) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  // Context::setDeterministicAlgorithms stays off. It rejects, or warns at every call of, the gradients of
  // max_pool2d and gather, because they add atomically. Here every such sum has one term: windows do not
  // overlap, and a pixel has one class.
}

HeuristicAlgorithms::HeuristicAlgorithms(const Device& device)
    : cuda_(device.cuda),
      deterministic_(at::globalContext().deterministicCuDNN()),
      benchmark_(at::globalContext().benchmarkCuDNN()) {
  if (!cuda_) return;
  // Do not set cuBLAS's workspace as choose_algorithms() does: LibTorch would report a larger one than it has
  // allocated.
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
}

HeuristicAlgorithms::~HeuristicAlgorithms() {
  if (!cuda_) return;
  at::globalContext().setDeterministicCuDNN(deterministic_);
  at::globalContext().setBenchmarkCuDNN(benchmark_);
}

std::int64_t available_memory(const Device& device) {
  std::int64_t available = std::numeric_limits<std::int64_t>::max();
  std::ifstream meminfo("/proc/meminfo");
  for (std::string key; meminfo >> key;) {
    std::int64_t kib = 0;
    if (key == "MemAvailable:" && meminfo >> kib) available = kib * 1024;
    meminfo.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::min(available, memory_left_by_control_groups()) / device.workers_on_node;
}

}  // namespace tessera
