#include "workers/device/core_binding.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <tuple>

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

/// CPU -> memory domain; all absent where the system has no such thing.
std::map<int, int> domains() {
  std::map<int, int> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/sys/devices/system/node", error)) {
    const std::string name = entry.path().filename();
    int domain = 0;
    if (name.rfind("node", 0) != 0 ||
        std::from_chars(name.data() + 4, name.data() + name.size(), domain).ec != std::errc())
      continue;
    for (const int cpu : parse_cpu_list(first_line(entry.path() / "cpulist")))
      found[cpu] = domain;
  }
  return found;
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> ids;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    int first = 0, last = 0;
    const char* end = part.data() + part.size();
    auto [at, error] = std::from_chars(part.data(), end, first);
    if (error != std::errc()) break;
    last = first;
    if (at != end && *at == '-' && std::from_chars(at + 1, end, last).ec != std::errc()) break;
    for (int id = first; id <= last; ++id)
      ids.push_back(id);
  }
  return ids;
}

std::string cpu_list_text(std::vector<int> ids) {
  std::ranges::sort(ids);
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t last = i;
    while (last + 1 < ids.size() && ids[last + 1] == ids[last] + 1)
      ++last;
    text += (text.empty() ? "" : ",") +
            (last == i ? std::to_string(ids[i]) : fmt::format("{}-{}", ids[i], ids[last]));
    i = last + 1;
  }
  return text;
}

std::vector<Cpu> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {};
  const std::map<int, int> domain_of = domains();
  std::vector<Cpu> cpus;
  for (int id = 0; id < CPU_SETSIZE; ++id) {
    if (!CPU_ISSET(id, &set)) continue;
    const std::vector<int> siblings = parse_cpu_list(
        first_line(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", id)));
    const auto domain = domain_of.find(id);
    cpus.push_back(
        {id, domain == domain_of.end() ? 0 : domain->second, siblings.empty() ? id : siblings.front()});
  }
  return cpus;
}

std::vector<int> share_of_cpus(std::vector<Cpu> cpus, int workers, int place) {
  if (workers < 1 || cpus.size() < static_cast<std::size_t>(workers)) return {};
  std::ranges::sort(cpus, [](const Cpu& a, const Cpu& b) {
    return std::tie(a.domain, a.core, a.id) < std::tie(b.domain, b.core, b.id);
  });
  const auto bound = [&](int which) {
    return cpus.size() * static_cast<std::size_t>(which) / static_cast<std::size_t>(workers);
  };
  std::vector<int> ids;
  for (std::size_t i = bound(place); i < bound(place + 1); ++i)
    ids.push_back(cpus[i].id);
  return ids;
}

bool bind_to_cpus(const std::vector<int>& ids) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int id : ids)
    CPU_SET(id, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

int slurm_cpus_on_node() {
  if (std::getenv("SLURM_STEP_ID") == nullptr) return 0;
  const char* cpus = std::getenv("SLURM_CPUS_ON_NODE");
  return cpus == nullptr ? 0 : static_cast<int>(std::strtol(cpus, nullptr, 10));
}

}  // namespace tessera
