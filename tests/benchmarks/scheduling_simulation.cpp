// The idle share of workers in jobs too large to be run here: a simulation of the coordinator's policy for up
// to 65,536 workers, with the costs of messages and journal that bench_coordinator measured.
//   bench_scheduling [name=value ...]     e.g. receive_us=1 send_us=1 sync_ms=20
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/clock.h"
#include "pipeline/blocks/block_queue.h"
#include "tests/benchmarks/scheduling_model.h"
#include "workers/blocks/block_exchange.h"

namespace {

using namespace tessera;

/// Measured (docs/performance.md, "Scheduling at scale"), except for latency_us.
std::map<std::string, double, std::less<>> settings = {
    {"receive_us", 5}, {"send_us", 5}, {"look_us", 2},     {"look_per_rank_ns", 2},
    {"append_us", 4},  {"sync_ms", 4}, {"latency_us", 30}, {"deviation", 0.2},
    {"seed", 1},       {"read", 0.01}, {"write", 0.05}};

double setting(std::string_view name) {
  return settings.find(name)->second;
}

SimulatedCosts measured_costs() {
  SimulatedCosts costs;
  costs.receive_s = 1e-6 * setting("receive_us");
  costs.send_s = 1e-6 * setting("send_us");
  costs.look_s = 1e-6 * setting("look_us");
  costs.look_per_rank_s = 1e-9 * setting("look_per_rank_ns");
  costs.append_s = 1e-6 * setting("append_us");
  costs.sync_s = 1e-3 * setting("sync_ms");
  costs.latency_s = 1e-6 * setting("latency_us");
  costs.polite_wait = costs.policy = true;
  return costs;
}

SimulatedWorkers measured_workers(int count, std::int64_t blocks_each, double block_s = 4) {
  SimulatedWorkers workers;
  workers.count = count;
  workers.blocks = count * blocks_each;
  workers.block_s = block_s;
  workers.log_deviation = setting("deviation");
  workers.seed = static_cast<std::uint64_t>(setting("seed"));
  workers.read = setting("read");
  workers.write = setting("write");
  workers.pulse_every_s = pulse_interval_s(count);
  return workers;
}

void print_head(std::string_view what) {
  fmt::print("\n{}\n{:<44}   idle = start + between + tail   one line   rank 0 busy   policy\n", what, "");
}

void print_run(std::string_view name, const SimulatedWorkers& workers, const SimulatedCosts& costs) {
  const SimulatedRun run = simulate(workers, costs);
  if (!run.finished) {
    fmt::print("{:<44} does not end: rank 0 hears {:.0f} messages a second and more come\n", name,
               static_cast<double>(run.messages) / run.elapsed_s);
    return;
  }
  fmt::print("{:<44} {:5.2f} % = {:5.2f} + {:5.2f} + {:5.2f} %   {:5.2f} %      {:5.1f} %   {:5.2f} us\n",
             name, 100 * run.idle, 100 * run.idle_start, 100 * run.idle_between, 100 * run.idle_tail,
             100 * idle_of_one_line(workers), 100 * run.rank0_busy,
             1e6 * run.policy_s / static_cast<double>(run.messages));
}

void print_volumes() {
  print_head("Blocks of 4 s, 100 for each worker");
  for (const int count : {16, 256, 4096})
    print_run(fmt::format("{} workers", count), measured_workers(count, 100), measured_costs());
  print_head("4096 workers, blocks of 4 s");
  for (const std::int64_t each : {5, 15, 30, 60, 200})
    print_run(fmt::format("{} blocks for each worker", each), measured_workers(4096, each), measured_costs());
}

void print_scenarios() {
  print_head("4096 workers, 100 blocks of 4 s each, but");
  const auto scenario = [](std::string_view name, const auto& change) {
    SimulatedWorkers workers = measured_workers(4096, 100);
    SimulatedCosts costs = measured_costs();
    change(workers, costs);
    print_run(name, workers, costs);
  };
  scenario("all blocks alike", [](auto& workers, auto&) { workers.log_deviation = 0; });
  scenario("blocks of log-deviation 0.1", [](auto& workers, auto&) { workers.log_deviation = 0.1; });
  scenario("blocks of log-deviation 0.3", [](auto& workers, auto&) { workers.log_deviation = 0.3; });
  scenario("15 % of the workers at 0.7 of the speed", [](auto& workers, auto&) {
    workers.slow_share = 0.15;
    workers.slow_speed = 0.7;
  });
  scenario("one worker at half speed", [](auto& workers, auto&) { workers.stragglers = 1; });
  scenario("40 workers at half speed", [](auto& workers, auto&) { workers.stragglers = 40; });
  scenario("one worker at a tenth of the speed", [](auto& workers, auto&) {
    workers.stragglers = 1;
    workers.straggler_speed = 0.1;
  });
  scenario("60 % of the volume background", [](auto& workers, auto&) { workers.background = 0.6; });
  scenario("the journal's fdatasync takes 250 ms", [](auto&, auto& costs) { costs.sync_s = 0.25; });
  scenario("a network of 1 ms", [](auto&, auto& costs) { costs.latency_s = 1e-3; });
  scenario("reading and writing take 40 % each",
           [](auto& workers, auto&) { workers.read = workers.write = 0.4; });
  scenario("reading and writing take 60 % each",
           [](auto& workers, auto&) { workers.read = workers.write = 0.6; });
}

/// The most expensive step of the policy: searching all workers for the longest range, to take half of it.
void print_search() {
  fmt::print("\nSearch for the longest stretch:");
  for (const int count : {256, 4096, 65'536}) {
    constexpr int kRepeats = 20, kSearches = 10;
    std::vector<std::int64_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    BlockQueue queue(order, count);
    double least_s = 1;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      const double begin = seconds_now();
      for (int search = 0; search < kSearches; ++search)
        queue.done(0, queue.next_for(0, begin), begin);
      if (repeat > 0) least_s = std::min(least_s, (seconds_now() - begin) / kSearches);
    }
    fmt::print(" {:.0f} us with {} workers{}", 1e6 * least_s, count, count == 65'536 ? "\n" : ",");
  }
}

void print_limits() {
  print_head("4096 workers, 100 blocks each, smaller ones");
  for (const double block_s : {1.0, 0.5, 0.25, 0.12, 0.06, 0.03})
    print_run(fmt::format("blocks of {} s", block_s), measured_workers(4096, 100, block_s), measured_costs());
  print_head("More workers, 30 blocks of 4 s each");
  for (const int count : {4096, 8192, 16'384, 32'768, 65'536})
    print_run(fmt::format("{} workers", count), measured_workers(count, 30), measured_costs());
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const std::size_t equals = word.find('=');
    const auto known = settings.find(word.substr(0, equals));
    if (equals == std::string_view::npos || known == settings.end()) {
      fmt::print(stderr, "usage: bench_scheduling [name=value ...], with the names and values\n");
      for (const auto& [name, value] : settings)
        fmt::print(stderr, "  {}={}\n", name, value);
      return 2;
    }
    known->second = std::strtod(argv[i] + equals + 1, nullptr);
  }
  for (const auto& [name, value] : settings)
    fmt::print("{}={} ", name, value);
  fmt::print("\n");
  print_volumes();
  print_scenarios();
  print_limits();
  print_search();
  return 0;
}
