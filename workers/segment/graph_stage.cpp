#include "workers/segment/graph_stage.h"

#include <algorithm>
#include <utility>

#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

template <class Row>
void append(std::vector<Row>& rows, std::vector<Row> more) {
  rows.insert(rows.end(), more.begin(), more.end());
}

/// Steps 3 to 6.
void merge_all(OwnedGraph& graph, const BlockGraphOptions& block, const MergeOptions& merge, bool fragments,
               GraphResult& result) {
  if (fragments && block.fragment_size > 0) merge_fragments(graph, block.fragment_size, block.fragment_floor);
  result.fragments = graph.clusters();
  result.bundles = graph.bundles();
  run_merge_stages(graph, merge);
  result.objects = graph.clusters();
  append(result.merges, graph.take_merges());
}

/// Collective. The whole graph on the root, and nothing on the others.
void gather(const OwnedGraph& graph, OwnedGraph& whole) {
  const auto to_root = [](const auto&) { return 0; };
  auto clusters = sent_rows(graph.world(), graph.clusters(), to_root);
  auto bundles = sent_rows(graph.world(), graph.bundles(), to_root);
  auto overlaps = sent_rows(graph.world(), graph.overlaps(), to_root);
  auto bins = sent_rows(graph.world(), graph.bins(), to_root);
  whole.add(std::move(clusters), std::move(bundles), std::move(overlaps), std::move(bins));
}

struct ObjectId {
  std::uint64_t name = 0, id = 0;
};

/// Collective. The ids of all objects, at the ranks that a partition by ranges gives. Sets their number.
std::vector<ObjectId> numbered_objects(std::vector<ClusterRow> objects, const MergeOptions& merge,
                                       std::uint64_t voxels, const Communicator& world, std::int64_t& count) {
  objects = sent_rows(world, std::move(objects),
                      [&](const ClusterRow& row) { return range_owner(row.name, voxels, world.size()); });
  std::sort(objects.begin(), objects.end(),
            [](const ClusterRow& x, const ClusterRow& y) { return x.name < y.name; });
  const auto remains = [&](const ClusterRow& row) {
    return row.size >= static_cast<std::uint64_t>(std::max<std::int64_t>(merge.min_size, 0));
  };
  std::vector<std::int64_t> counts(static_cast<std::size_t>(world.size()));
  counts[static_cast<std::size_t>(world.rank())] = std::count_if(objects.begin(), objects.end(), remains);
  world.sum(counts);
  std::uint64_t before = 0;
  for (int rank = 0; rank < world.size(); ++rank) {
    if (rank < world.rank()) before += static_cast<std::uint64_t>(counts[static_cast<std::size_t>(rank)]);
    count += counts[static_cast<std::size_t>(rank)];
  }
  std::vector<ObjectId> ids;
  for (const ClusterRow& row : objects) {
    const bool stays = remains(row);
    if (stays) ++before;
    ids.push_back({row.name, !stays ? 0 : merge.compact_ids ? before : row.name + 1});
  }
  return ids;
}

}  // namespace

GraphResult merge_graph(GraphRows rows, const BlockGraphOptions& block, const MergeOptions& merge,
                        const GraphStageOptions& options, const Communicator& world) {
  GraphResult result;
  OwnedGraph graph(world);
  graph.add(std::move(rows.clusters), std::move(rows.bundles), std::move(rows.overlaps),
            std::move(rows.bins));
  result.clusters = graph.names();
  graph.unite(std::move(rows.joins), kPieceStage);
  result.merges = graph.take_merges();
  std::int64_t total = std::ssize(graph.names()) + std::ssize(graph.bundles()) +
                       std::ssize(graph.overlaps()) + std::ssize(graph.bins());
  world.sum(std::span(&total, 1));
  if (world.size() == 1 || total > options.gather_rows) {
    merge_all(graph, block, merge, options.fragments, result);
    return result;
  }
  const Communicator alone = Communicator::alone();
  OwnedGraph whole(alone);
  gather(graph, whole);
  on_root(world, [&] { merge_all(whole, block, merge, options.fragments, result); });
  return result;
}

int range_owner(std::uint64_t name, std::uint64_t voxels, int ranks) {
  const auto count = static_cast<std::uint64_t>(ranks);
  return static_cast<int>(name / ((voxels + count - 1) / count));
}

ObjectIds::ObjectIds(const GraphResult& graph, const MergeOptions& merge, std::uint64_t voxels,
                     const Communicator& world)
    : world_(world), index_(graph.clusters), object_(graph.clusters) {
  resolve(graph);
  std::vector<ObjectId> ids = numbered_objects(graph.objects, merge, voxels, world, count_);
  id_.resize(object_.size());
  for (const ObjectId& one : sent_rows(
           world, std::move(ids), [&](const ObjectId& row) { return owner_of_name(row.name, world.size()); }))
    id_[index_.find(one.name)] = one.id;
  id_ = ids_of(object_);
}

/// Follows the merges until every cluster has the name of its object.
void ObjectIds::resolve(const GraphResult& graph) {
  for (const MergeRow& row : sent_rows(
           world_, graph.merges, [&](const MergeRow& one) { return owner_of_name(one.name, world_.size()); }))
    object_[index_.find(row.name)] = row.into;
  for (bool changes = true; changes;) {
    const std::vector<std::uint64_t> next = objects_of(object_);
    changes = world_.any(next != object_);
    object_ = next;
  }
}

std::vector<std::uint64_t> ObjectIds::objects_of(std::span<const std::uint64_t> clusters) const {
  return asked_rows<std::uint64_t>(
      world_, clusters, [&](std::uint64_t name) { return owner_of_name(name, world_.size()); },
      [&](std::uint64_t name) { return object_[index_.find(name)]; });
}

std::vector<std::uint64_t> ObjectIds::ids_of(std::span<const std::uint64_t> clusters) const {
  return asked_rows<std::uint64_t>(
      world_, clusters, [&](std::uint64_t name) { return owner_of_name(name, world_.size()); },
      [&](std::uint64_t name) { return id_[index_.find(name)]; });
}

}  // namespace tessera
