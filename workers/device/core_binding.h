#pragma once

#include <memory>
#include <string>
#include <vector>

struct hwloc_topology;

namespace tessera {

/// A CPU by Linux's numbers: a core, or one of its hardware threads.
struct Cpu {
  int id = 0;
  int domain = 0;  ///< its NUMA node
  int core = 0;    ///< the lowest id among the hardware threads of its core
};

/// The CPUs of a machine, by hwloc.
class CpuTopology {
 public:
  /// This machine. Errors: Error.
  CpuTopology();
  /// A description in hwloc's synthetic format, such as "pack:2 [numa] core:4 pu:2". Errors: Error.
  static CpuTopology synthetic(const std::string& description);

  /// All CPUs, in no order.
  std::vector<Cpu> cpus() const;
  /// Those that the calling thread may run on; none where the system does not say.
  std::vector<Cpu> allowed_cpus() const;
  /// Binds the calling thread, and the threads that it starts later, to these CPUs. Linux places a page where
  /// it is touched first, so their memory is near, too. False when the system refuses.
  bool bind(const std::vector<int>& ids) const;

 private:
  struct Free {
    void operator()(hwloc_topology* topology) const;
  };
  explicit CpuTopology(const char* synthetic);

  std::unique_ptr<hwloc_topology, Free> topology_;
};

/// CPU numbers as a list: "0-3,8".
std::string cpu_list_text(const std::vector<int>& ids);

/// The CPUs of worker `index` of `workers`. Shares differ by at most one CPU. A share is made of neighbours:
/// cores stay whole, and a worker's memory is in as few NUMA nodes as possible. Empty when there are fewer
/// CPUs than workers.
std::vector<int> share_of_cpus(std::vector<Cpu> cpus, int workers, int index);

/// The number of CPUs that a Slurm job has on this node, by its environment; 0 outside of a job step.
int slurm_cpus_on_node();

}  // namespace tessera
