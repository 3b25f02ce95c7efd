// How many blocks a second the coordinator hands out to workers that have nothing to do with them: its messages, its
// policy, and (with a file's name) its journal.
//   mpirun -n 9 --oversubscribe --bind-to none bench_coordinator [blocks] [journal]
#include <fmt/format.h>

#include <cstdlib>
#include <numeric>

#include "io/block_journal.h"
#include "io/clock.h"
#include "pipeline/coordinator.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

/// A worker whose blocks are done when they come.
void echo(const Communicator& world) {
  MpiBlockExchange exchange(world);
  WorkerStatistics statistics;
  PoliteWait idle;
  while (!exchange.finished()) {
    bool busy = false;
    while (const auto id = exchange.poll()) {
      exchange.report(BlockReport{*id, 1, 0});
      ++statistics.blocks;
      busy = true;
    }
    exchange.flush();
    busy ? idle.reset() : idle.pause();
  }
  exchange.leave(statistics);
}

void measure(const Communicator& world, std::int64_t blocks, const std::string& file) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(blocks));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  CoordinatorHooks hooks;
  std::unique_ptr<BlockJournal> journal;
  if (!file.empty()) {
    write_journal(file, {std::string(32, '0'), {}, BlockPlan({blocks, 1, 1}, {1, 1, 1})}, {}, 0);
    journal = std::make_unique<BlockJournal>(file, read_journal(file));
    hooks.block_done = [&](const BlockReport& report) { journal->append({report.id, report.outcome, report.crc}); };
  }
  Coordinator coordinator(std::move(order), hooks);
  const double begin = seconds_now();
  serve_workers(world, coordinator);
  if (journal) journal->commit();
  const double elapsed = seconds_now() - begin;
  std::int64_t least = blocks, most = 0;
  for (const WorkerAccount& worker : coordinator.accounts()) {
    least = std::min(least, worker.statistics.blocks);
    most = std::max(most, worker.statistics.blocks);
  }
  fmt::print("{} blocks to {} workers in {:.3f} s: {:.0f} blocks/s{}; each worker {} to {}\n",
             coordinator.blocks_done(), world.size() - 1, elapsed, static_cast<double>(blocks) / elapsed,
             journal ? ", with the journal" : "", least, most);
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  using namespace tessera;
  MpiSession mpi(argc, argv);
  const Communicator world = mpi.world();
  const std::int64_t blocks = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 1'000'000;
  if (world.size() < 2 || blocks < 1) {
    if (world.is_root()) fmt::print(stderr, "usage: mpirun -n 9 bench_coordinator [blocks] [journal file]\n");
    return 2;
  }
  if (world.is_root()) {
    measure(world, blocks, argc > 2 ? argv[2] : "");
  } else {
    echo(world);
  }
  return 0;
}
