#pragma once

#include <string>
#include <vector>

namespace tessera {

/// A CPU as Linux counts them (a core, or one of its hardware threads) and where it sits.
struct Cpu {
  int id = 0;
  int domain = 0;  ///< of memory (NUMA node)
  int core = 0;    ///< the lowest id among the hardware threads of its core
};

/// "0-3,8" as numbers: the lists in /sys. What is no list gives what stands before it.
std::vector<int> parse_cpu_list(const std::string& text);
/// The same as text: "0-3,8".
std::string cpu_list_text(std::vector<int> ids);

/// The CPUs that this process may run on, with what /sys says of them.
std::vector<Cpu> allowed_cpus();

/// The share of worker `place` of `workers`: as many as the others have, up to one; neighbours, so that cores
/// stay whole and a worker's memory is in as few domains as can be. Empty when there are fewer CPUs than
/// workers.
std::vector<int> share_of_cpus(std::vector<Cpu> cpus, int workers, int place);

/// Keeps this thread, the threads that it starts from now on and (as Linux puts a page where it is first
/// touched) their memory to these CPUs. False when the system refuses.
bool bind_to_cpus(const std::vector<int>& ids);

/// The CPUs that a Slurm job has on this node, by its environment; 0 outside of a job step.
int slurm_cpus_on_node();

}  // namespace tessera
