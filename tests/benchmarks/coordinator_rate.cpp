// The blocks per second that the coordinator assigns to workers without work: messages, policy, and the
// journal if a file is named.
//   mpirun -n 9 --oversubscribe --bind-to none bench_coordinator [blocks] [journal] [largest batch]
// With a largest batch of 1 every block is two messages, as in real jobs; this shows the cost of a message at
// rank 0.
// "-" means no journal. First it measures the cost of looking for a message when none has arrived.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <thread>

#include "io/base/clock.h"
#include "io/volume/block_journal.h"
#include "pipeline/blocks/coordinator.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

/// Processor time of this thread.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// A worker whose blocks are done on arrival, and reported `one_by_one` or all that have arrived.
void echo(const Communicator& world, bool one_by_one) {
  MpiBlockExchange exchange(world);
  WorkerStatistics statistics;
  PoliteWait idle;
  while (!exchange.finished()) {
    bool busy = false;
    while (const auto id = exchange.poll()) {
      exchange.report(BlockReport{*id, 1, 0});
      if (one_by_one) exchange.flush();
      ++statistics.blocks;
      busy = true;
    }
    exchange.flush();
    busy ? idle.reset() : idle.pause();
  }
  exchange.leave(statistics, {});
}

/// Collective: looks for messages when none are sent, after rank 0 has heard from all others.
void look_for_nothing(const Communicator& world) {
  constexpr int kLooks = 20'000, kTagNothing = 99;
  if (!world.is_root()) {
    send_value(world, 0, kTagNothing, 0);
    world.barrier();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    world.barrier();
    return;
  }
  for (int heard = 1; heard < world.size();)
    if (world.try_receive(kTagNothing)) ++heard;
  world.barrier();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until the others sleep
  double least_s = 1;
  for (int repeat = 0; repeat < 10; ++repeat) {
    const double begin = seconds_now();
    for (int look = 0; look < kLooks / 10; ++look)
      if (world.try_receive(MPI_ANY_TAG)) fmt::print(stderr, "a message came where none should\n");
    least_s = std::min(least_s, (seconds_now() - begin) / (kLooks / 10));
  }
  world.barrier();
  fmt::print("looking for a message among {} ranks: {:.2f} us\n", world.size(), 1e6 * least_s);
}

void measure(const Communicator& world, std::int64_t blocks, const std::string& file, int largest_batch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(blocks));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  CoordinatorHooks hooks;
  std::unique_ptr<BlockJournal> journal;
  if (!file.empty()) {
    write_journal(file, {std::string(32, '0'), {}, BlockPlan({blocks, 1, 1}, {1, 1, 1})}, {}, 0);
    journal = std::make_unique<BlockJournal>(file, read_journal(file));
    hooks.block_done = [&](const BlockReport& report) {
      journal->append({report.id, report.outcome, report.crc});
    };
  }
  CoordinatorOptions options;
  if (largest_batch > 0) options.queue.largest_batch = largest_batch;
  Coordinator coordinator(std::move(order), hooks, options);
  const double begin = seconds_now(), begin_cpu = thread_seconds();
  serve_workers(world, coordinator);
  if (journal) journal->commit();
  const double elapsed = seconds_now() - begin, cpu = thread_seconds() - begin_cpu;
  std::int64_t least = blocks, most = 0;
  for (const WorkerAccount& worker : coordinator.accounts()) {
    least = std::min(least, worker.statistics.blocks);
    most = std::max(most, worker.statistics.blocks);
  }
  fmt::print(
      "{} blocks to {} workers in {:.3f} s: {:.0f} blocks/s{}, {:.2f} us of rank 0's core each; each worker "
      "{} to {}\n",
      coordinator.blocks_done(), world.size() - 1, elapsed, static_cast<double>(blocks) / elapsed,
      journal ? ", with the journal" : "", 1e6 * cpu / static_cast<double>(blocks), least, most);
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  using namespace tessera;
  MpiSession mpi(argc, argv);
  const Communicator world = mpi.world();
  const std::int64_t blocks = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 1'000'000;
  const std::string journal = argc > 2 && std::string_view(argv[2]) != "-" ? argv[2] : "";
  const int largest_batch = argc > 3 ? std::atoi(argv[3]) : 0;
  if (world.size() < 2 || blocks < 1) {
    if (world.is_root())
      fmt::print(stderr, "usage: mpirun -n 9 bench_coordinator [blocks] [journal file] [largest batch]\n");
    return 2;
  }
  look_for_nothing(world);
  if (world.is_root()) {
    measure(world, blocks, journal, largest_batch);
  } else {
    echo(world, largest_batch == 1);
  }
  return 0;
}
