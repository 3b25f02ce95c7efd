#include "workers/device/core_binding.h"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <tuple>

#include "io/base/error.h"

namespace tessera {
namespace {

struct FreeBitmap {
  void operator()(hwloc_bitmap_s* bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreeBitmap>;

Bitmap empty_bitmap() {
  Bitmap bitmap(hwloc_bitmap_alloc());
  if (!bitmap) throw std::bad_alloc();
  return bitmap;
}

Bitmap bitmap_of(const std::vector<int>& ids) {
  Bitmap bitmap = empty_bitmap();
  for (const int id : ids)
    hwloc_bitmap_set(bitmap.get(), static_cast<unsigned int>(id));
  return bitmap;
}

Cpu cpu_of(hwloc_topology* topology, const hwloc_obj& unit) {
  const auto id = static_cast<int>(unit.os_index);
  Cpu cpu{id, std::max(0, hwloc_bitmap_first(unit.complete_nodeset)), id};
  // The complete set: a hardware thread that this job may not use still belongs to its core.
  const hwloc_obj* core =
      hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, const_cast<hwloc_obj*>(&unit));
  if (core != nullptr) cpu.core = hwloc_bitmap_first(core->complete_cpuset);
  return cpu;
}

}  // namespace

void CpuTopology::Free::operator()(hwloc_topology* topology) const {
  hwloc_topology_destroy(topology);
}

CpuTopology::CpuTopology(const char* synthetic) {
  hwloc_topology* topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) throw Error("hwloc cannot start");
  topology_.reset(topology);
  if ((synthetic != nullptr && hwloc_topology_set_synthetic(topology, synthetic) != 0) ||
      hwloc_topology_load(topology) != 0) {
    throw Error(fmt::format("hwloc cannot read the CPU topology{}: {}",
                            synthetic != nullptr ? fmt::format(" '{}'", synthetic) : "",
                            std::strerror(errno)));
  }
}

CpuTopology::CpuTopology() : CpuTopology(nullptr) {}

CpuTopology CpuTopology::synthetic(const std::string& description) {
  return CpuTopology(description.c_str());
}

std::vector<Cpu> CpuTopology::cpus() const {
  std::vector<Cpu> cpus;
  const hwloc_obj* unit = nullptr;
  while ((unit = hwloc_get_next_obj_by_type(topology_.get(), HWLOC_OBJ_PU, const_cast<hwloc_obj*>(unit))) !=
         nullptr)
    cpus.push_back(cpu_of(topology_.get(), *unit));
  return cpus;
}

std::vector<Cpu> CpuTopology::allowed_cpus() const {
  const Bitmap allowed = empty_bitmap();
  if (hwloc_get_cpubind(topology_.get(), allowed.get(), HWLOC_CPUBIND_THREAD) != 0) return {};
  std::vector<Cpu> found = cpus();
  std::erase_if(found, [&](const Cpu& cpu) {
    return hwloc_bitmap_isset(allowed.get(), static_cast<unsigned int>(cpu.id)) == 0;
  });
  return found;
}

bool CpuTopology::bind(const std::vector<int>& ids) const {
  return hwloc_set_cpubind(topology_.get(), bitmap_of(ids).get(), HWLOC_CPUBIND_THREAD) == 0;
}

std::string cpu_list_text(const std::vector<int>& ids) {
  const Bitmap bitmap = bitmap_of(ids);
  const int length = hwloc_bitmap_list_snprintf(nullptr, 0, bitmap.get());
  std::string text(static_cast<std::size_t>(std::max(0, length)) + 1, '\0');
  hwloc_bitmap_list_snprintf(text.data(), text.size(), bitmap.get());
  text.pop_back();
  return text;
}

std::vector<int> share_of_cpus(std::vector<Cpu> cpus, int workers, int index) {
  if (workers < 1 || cpus.size() < static_cast<std::size_t>(workers)) return {};
  std::ranges::sort(cpus, [](const Cpu& a, const Cpu& b) {
    return std::tie(a.domain, a.core, a.id) < std::tie(b.domain, b.core, b.id);
  });
  const auto bound = [&](int which) {
    return cpus.size() * static_cast<std::size_t>(which) / static_cast<std::size_t>(workers);
  };
  std::vector<int> ids;
  for (std::size_t i = bound(index); i < bound(index + 1); ++i)
    ids.push_back(cpus[i].id);
  return ids;
}

int slurm_cpus_on_node() {
  if (std::getenv("SLURM_STEP_ID") == nullptr) return 0;
  const char* cpus = std::getenv("SLURM_CPUS_ON_NODE");
  return cpus == nullptr ? 0 : static_cast<int>(std::strtol(cpus, nullptr, 10));
}

}  // namespace tessera
