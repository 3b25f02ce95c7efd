#include "pipeline/cluster/job_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tessera {
namespace {

constexpr std::size_t kColumns = 9;
using Row = std::array<std::string, kColumns>;

std::string or_default(const std::string& text) {
  return text.empty() ? "default" : text;
}

/// The workers of all nodes, and the coordinator. `report` is one task without MPI.
std::string tasks_text(const JobRow& job) {
  const SlurmResources& r = job.resources;
  if (job.stage == Stage::report) return "1";
  return r.workers_per_node() == 0 ? "NUMA" : fmt::format("{}+1", r.nodes * r.workers_per_node());
}

Row row_of(const JobRow& job, const std::string& before) {
  const SlurmResources& r = job.resources;
  return {job.name + (job.tasks > 0 ? fmt::format(" [{}]", job.tasks) : ""),
          fmt::format("{}", r.nodes),
          tasks_text(job),
          fmt::format("{}", r.nodes * r.gpus_per_node),
          or_default(r.memory),
          or_default(r.time),
          or_default(r.partition),
          before.empty() ? "-" : before,
          job.log};
}

}  // namespace

std::string job_table(const std::vector<JobRow>& jobs) {
  std::vector<Row> rows{
      {"name", "nodes", "tasks", "GPUs", "memory", "time", "partition", "waits for", "log"}};
  std::string before;
  for (const JobRow& job : jobs) {
    rows.push_back(row_of(job, before));
    before = name_of(job.stage);
  }
  std::array<std::size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < kColumns; ++i)
      line += fmt::format("{:<{}}  ", row[i], widths[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  text += "tasks: workers on all nodes, +1: the coordinator";
  const auto any = [&](const auto& test) { return std::ranges::any_of(jobs, test); };
  if (any([](const JobRow& job) {
        return job.stage != Stage::report && job.resources.workers_per_node() == 0;
      }))
    text += "; NUMA: a worker for each NUMA domain of whole nodes";
  if (any([](const JobRow& job) { return job.tasks > 0; }))
    text += "; [N]: a job array, a task for each volume";
  return text + ". memory: of each node. default: the cluster's\n";
}

}  // namespace tessera
