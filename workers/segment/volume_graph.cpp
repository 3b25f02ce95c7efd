#include "workers/segment/volume_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "io/base/error.h"
#include "io/graph/block_graph_file.h"
#include "io/graph/object_table_file.h"
#include "workers/mpi/agreement.h"
#include "workers/segment/graph_tables.h"

namespace tessera {
namespace {

/// The grid of a plan's blocks.
class BlockGrid {
 public:
  explicit BlockGrid(const BlockPlan& plan) {
    for (int axis = 0; axis < 3; ++axis)
      sides_[axis] = ceil_div(plan.region().shape()[axis], plan.block_shape()[axis]);
  }
  Index3 position(std::int64_t id) const {
    return {id / (sides_.y * sides_.x), id / sides_.x % sides_.y, id % sides_.x};
  }
  /// The block at a place of the grid; none outside.
  std::optional<std::int64_t> at(const Index3& position) const {
    if (!Box::of_shape(sides_).contains({position, position + Index3{1, 1, 1}})) return std::nullopt;
    return linear_index(position, sides_);
  }

 private:
  Index3 sides_;
};

/// Adds what is between a block and the three behind its high faces.
void add_faces(const SegmentJob& job, const BlockGrid& grid, std::int64_t id, const BlockGraph& graph,
               GraphRows& rows) {
  for (int axis = 0; axis < 3; ++axis) {
    Index3 behind = grid.position(id);
    ++behind[axis];
    const std::optional<std::int64_t> other = grid.at(behind);
    if (!other) continue;
    std::array<bool, 6> wanted{};
    const auto low = 2 * static_cast<std::size_t>(axis);
    wanted[low] = true;
    const BlockGraph border = read_block_border(block_graph_file(job.folder, *other), wanted);
    add_face_rows({*graph.faces[low + 1], graph.name}, {border.faces[low].value(), border.name}, border.box,
                  axis, graph.shape, job.graph, rows);
  }
}

/// Adds the pairs between a block and those of the 26 around it that have larger ids.
void add_joins_around(const SegmentJob& job, const BlockGrid& grid, std::int64_t id, const BlockGraph& graph,
                      GraphRows& rows) {
  for (std::int64_t i = 0; i < 27; ++i) {
    const Index3 step{i / 9 - 1, i / 3 % 3 - 1, i % 3 - 1};
    const std::optional<std::int64_t> other = grid.at(grid.position(id) + step);
    if (!other || *other <= id) continue;
    const BlockGraph border =
        read_block_border(block_graph_file(job.folder, *other), {true, true, true, true, true, true});
    add_component_joins(graph, border, *job.components, rows.joins);
  }
}

/// Collective. The clusters of every block, on every rank.
std::vector<std::int64_t> cluster_counts(const SegmentJob& job, const GraphShare& share,
                                         const Communicator& world) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(job.blocks.count()));
  for (std::size_t i = 0; i < share.blocks.size(); ++i)
    counts[static_cast<std::size_t>(share.blocks[i])] = std::ssize(share.names[i]);
  world.sum(counts);
  return counts;
}

/// Collective. Nothing without a digest.
void write_tables(const std::filesystem::path& path, const SegmentJob& job, const GraphShare& share,
                  const ObjectIds& ids, const std::string& digest, const Communicator& world) {
  if (world.any(world.is_root() && digest.empty())) return;
  const std::vector<std::int64_t> counts = cluster_counts(job, share, world);
  std::optional<UnfinishedTables> unfinished;
  if (world.is_root()) unfinished.emplace(path);
  on_root(world, [&] { ObjectTableFile::create(path, digest, counts); });
  std::vector<std::uint64_t> names;
  for (const auto& of_block : share.names)
    names.insert(names.end(), of_block.begin(), of_block.end());
  const std::vector<std::uint64_t> all = ids.ids_of(names);
  on_every_rank(world, [&] {
    ObjectTableFile file(path, counts);
    std::size_t at = 0;
    for (std::size_t i = 0; i < share.blocks.size(); ++i) {
      file.write(share.blocks[i], std::span(all).subspan(at, share.names[i].size()));
      at += share.names[i].size();
    }
    file.sync();
  });
  on_root(world, [&] { ObjectTableFile::put_in_place(path); });
}

/// Collective. The ids of supervoxels: those of the objects before the first stage.
ObjectIds supervoxel_ids(GraphResult result, std::uint64_t voxels, const Communicator& world) {
  result.objects = result.fragments;
  std::erase_if(result.merges, [](const MergeRow& row) { return row.stage > kFragmentStage; });
  return {result, {}, voxels, world};
}

std::int64_t sum_over(const Communicator& world, std::size_t mine) {
  auto sum = static_cast<std::int64_t>(mine);
  world.sum(std::span(&sum, 1));
  return sum;
}

}  // namespace

GraphShare read_graph_share(const SegmentJob& job, std::span<const std::uint32_t> crcs, int rank, int ranks) {
  GraphShare share;
  const BlockGrid grid(job.blocks);
  const std::int64_t count = job.blocks.count();
  for (std::int64_t id = count * rank / ranks; id < count * (rank + 1) / ranks; ++id) {
    try {
      StoredBlockGraph stored = read_block_graph(block_graph_file(job.folder, id));
      if (stored.crc != crcs[static_cast<std::size_t>(id)] || stored.graph.box != job.blocks.block(id))
        throw Error("it is not the file of the journal");
      if (!job.graph.histograms) {
        stored.graph.bundles.bins.clear();  // of an earlier start by quantiles
      } else if ((stored.graph.flags & BlockGraph::kHistograms) == 0) {
        throw Error("it has no histograms");
      }
      if (job.components) {
        add_joins_around(job, grid, id, stored.graph, share.rows);
      } else {
        add_faces(job, grid, id, stored.graph, share.rows);
      }
      add_block_rows(stored.graph, share.rows);
      share.blocks.push_back(id);
      share.names.push_back(std::move(stored.graph.name));
    } catch (const Error&) {
      share.bad.push_back(id);  // or a neighbour's file is bad, which its own reader finds
    }
  }
  return share;
}

GraphSums write_volume_graph(const SegmentJob& job, GraphShare share, const MergeOptions& merge,
                             const GraphStageOptions& options, const std::filesystem::path& graph_file,
                             const GraphMark& mark, const Communicator& world) {
  GraphSums sums;
  sums.clusters = sum_over(world, share.rows.clusters.size());
  sums.bundles = sum_over(world, share.rows.bundles.size());
  const GraphResult result = merge_graph(std::move(share.rows), job.graph, merge, options, world);
  const auto voxels = static_cast<std::uint64_t>(volume_of(job.blocks.region().shape()));
  const ObjectIds ids(result, merge, voxels, world);
  sums.objects = ids.count();
  if (merge.compact_ids && sums.objects > std::numeric_limits<std::uint32_t>::max()) {
    throw UsageError(fmt::format(
        "segment.ids: compact has room for {} objects, the result has {}: set segment.ids: canonical",
        std::numeric_limits<std::uint32_t>::max(), sums.objects));
  }
  sums.fragments = sum_over(world, result.fragments.size());
  sums.fragment_bundles = sum_over(world, result.bundles.size());
  std::vector<std::int64_t> gone(merge.stages.size() + 1);
  for (const MergeRow& row : result.merges) {
    if (row.stage > 0) ++gone[static_cast<std::size_t>(row.stage)];
  }
  world.sum(gone);
  for (std::int64_t left = sums.fragments; const std::int64_t one : std::span(gone).subspan(1)) {
    left -= one;
    sums.objects_after_stage.push_back(left);
  }
  if (!job.components) {
    write_graph_tables(graph_file, result, ids, merge.linkage, voxels, mark.attributes, world);
    write_tables(job.supervoxel_tables(), job, share, supervoxel_ids(result, voxels, world),
                 mark.supervoxels_digest, world);
  }
  write_tables(job.tables(), job, share, ids, mark.digest, world);
  return sums;
}

}  // namespace tessera
