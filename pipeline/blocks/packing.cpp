#include "pipeline/blocks/packing.h"

#include <fmt/format.h>

#include <memory>
#include <numeric>
#include <utility>

#include "pipeline/blocks/block_run.h"
#include "workers/mpi/agreement.h"
#include "workers/results/pack_task.h"

namespace tessera {
namespace {

/// Reports hold the packed chunks, so a worker has few ranges in flight.
constexpr int kLargestBatch = 4;

BlockJob packing_job(const OutputLayout& layout, const CoordinatorOptions& limits) {
  const ChunkRanges ranges(layout);
  BlockJob job;
  job.verb = "pack";
  job.names.blocks = "chunk ranges";
  job.names.done = "packed";
  job.blocks = ranges.count();
  job.order.resize(static_cast<std::size_t>(job.blocks));
  std::iota(job.order.begin(), job.order.end(), std::int64_t{0});
  job.voxels_of = [ranges, voxels = volume_of(layout.chunk)](std::int64_t id) {
    return (ranges.end(id) - ranges.begin(id)) * voxels;
  };
  job.text_of = [ranges](std::int64_t id) {
    return fmt::format("chunks [{}, {})", ranges.begin(id), ranges.end(id));
  };
  job.limits = limits;
  job.limits.queue.largest_batch = kLargestBatch;
  return job;
}

}  // namespace

PackSums pack_chunks(const std::filesystem::path& source, const OutputLayout& layout, int level,
                     PackedVolume* target, const CoordinatorOptions& limits, const Communicator& world) {
  PackSums sums;
  std::unique_ptr<PackTask> task;
  std::unique_ptr<BlockRun> run;
  on_every_rank(world, [&] {
    if (world.size() == 1 || !world.is_root()) task = std::make_unique<PackTask>(source, layout, level);
  });
  on_root(world, [&] {
    BlockJob job = packing_job(layout, limits);
    job.block_done = [&](const BlockReport& report) {
      for (const PackedChunk& chunk : packed_chunks_of(report.payload)) {
        target->write(chunk);
        sums.chunks += 1;
        sums.empty_chunks += chunk.bytes.empty() ? 1 : 0;
        sums.packed_bytes += static_cast<std::int64_t>(chunk.bytes.size());
      }
    };
    run = std::make_unique<BlockRun>(std::move(job));
  });
  run_blocks(task.get(), run.get(), "", world);
  on_root(world, [&] { run->end().require_done(); });
  sums.bytes = sums.chunks * layout.chunk_bytes();
  return sums;
}

}  // namespace tessera
