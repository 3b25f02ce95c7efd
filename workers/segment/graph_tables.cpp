#include "workers/segment/graph_tables.h"

#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "io/base/durable_file.h"
#include "io/base/staged_file.h"
#include "io/hdf5/table_file.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// The file's datasets, by their places in the list.
enum Column : std::size_t {
  kFragmentId,
  kFragmentSize,
  kBundleA,
  kBundleB,
  kBundleSum,
  kBundleCount,
  kBundleSaddle,
  kBundleEdge,
  kTreeId,
  kTreeInto,
  kTreeStage,
  kObjectId,
  kObjectSize,
  kObjectFragments,
  kTreeSum,  // only of greedy merges, as the next one
  kTreeCount,
};

std::vector<TableColumn> columns(std::int64_t fragments, std::int64_t bundles, std::int64_t merges,
                                 std::int64_t objects, MergeLinkage linkage) {
  constexpr VoxelType kWide = VoxelType::uint64;
  std::vector<TableColumn> all{{"/supervoxels/id", kWide, fragments},
                               {"/supervoxels/size", kWide, fragments},
                               {"/bundles/a", kWide, bundles},
                               {"/bundles/b", kWide, bundles},
                               {"/bundles/sum", kWide, bundles},
                               {"/bundles/count", kWide, bundles},
                               {"/bundles/saddle", VoxelType::uint16, bundles},
                               {"/bundles/edge", kWide, bundles},
                               {"/tree/id", kWide, merges},
                               {"/tree/into", kWide, merges},
                               {"/tree/stage", VoxelType::uint32, merges},
                               {"/objects/id", kWide, objects},
                               {"/objects/size", kWide, objects},
                               {"/objects/supervoxels", kWide, objects}};
  if (linkage != MergeLinkage::rounds) {
    all.push_back({"/tree/sum", kWide, merges});
    all.push_back({"/tree/count", kWide, merges});
  }
  return all;
}

/// The rows of a table, ordered by name over all ranks: this rank has those of a range of names.
template <class Row, class NameOf>
std::vector<Row> in_ranges(std::vector<Row> rows, std::uint64_t voxels, const Communicator& world,
                           const NameOf& name) {
  return sent_rows(world, std::move(rows),
                   [&](const Row& row) { return range_owner(name(row), voxels, world.size()); });
}

/// Where this rank's rows begin among all, and how many there are.
struct Extent {
  std::int64_t begin = 0, total = 0;
};
Extent extent_of(std::size_t rows, const Communicator& world) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(world.size()));
  counts[static_cast<std::size_t>(world.rank())] = static_cast<std::int64_t>(rows);
  world.sum(counts);
  Extent extent;
  for (int rank = 0; rank < world.size(); ++rank) {
    const std::int64_t one = counts[static_cast<std::size_t>(rank)];
    extent.begin += rank < world.rank() ? one : 0;
    extent.total += one;
  }
  return extent;
}

/// The tables of this rank.
struct Tables {
  std::vector<ClusterRow> fragments, objects;
  std::vector<BundleRow> bundles;  ///< the ends are row numbers of fragments
  std::vector<MergeRow> merges;
  std::vector<std::uint64_t> fragments_of;  ///< of each object
};

/// Replaces names by row numbers.
void number_ends(std::vector<BundleRow>& bundles, const std::vector<ClusterRow>& fragments,
                 std::int64_t begin, std::uint64_t voxels, const Communicator& world) {
  const auto row_of = [&](std::uint64_t name) {
    const auto found = std::ranges::lower_bound(fragments, name, {}, &ClusterRow::name);
    return static_cast<std::uint64_t>(begin + (found - fragments.begin()));
  };
  const auto owner = [&](std::uint64_t name) { return range_owner(name, voxels, world.size()); };
  std::vector<std::uint64_t> ends;
  ends.reserve(bundles.size());
  for (const BundleRow& one : bundles)
    ends.push_back(one.b);
  const auto b = asked_rows<std::uint64_t>(world, ends, owner, row_of);
  for (std::size_t i = 0; i < bundles.size(); ++i) {
    bundles[i].a = row_of(bundles[i].a);
    bundles[i].b = b[i];
  }
}

Tables tables_of(const GraphResult& graph, const ObjectIds& ids, std::uint64_t voxels,
                 const Communicator& world) {
  Tables tables;
  const auto by_name = [](const auto& row) { return row.name; };
  tables.fragments = in_ranges(graph.fragments, voxels, world, by_name);
  std::ranges::sort(tables.fragments, {}, &ClusterRow::name);
  tables.objects = in_ranges(graph.objects, voxels, world, by_name);
  std::ranges::sort(tables.objects, {}, &ClusterRow::name);
  tables.bundles = in_ranges(graph.bundles, voxels, world, [](const BundleRow& row) { return row.a; });
  std::ranges::sort(tables.bundles, {}, [](const BundleRow& row) { return std::pair(row.a, row.b); });
  std::vector<MergeRow> merges = graph.merges;
  std::erase_if(merges, [](const MergeRow& row) { return row.stage <= kFragmentStage; });
  tables.merges = in_ranges(std::move(merges), voxels, world, by_name);
  std::ranges::sort(tables.merges, {}, &MergeRow::name);
  // How many fragments each object has.
  std::vector<std::uint64_t> names;
  for (const ClusterRow& one : tables.fragments)
    names.push_back(one.name);
  std::vector<ClusterRow> parts;
  for (const std::uint64_t object : ids.objects_of(names))
    parts.push_back({object, 1});
  tables.fragments_of.resize(tables.objects.size());
  for (const ClusterRow& one : in_ranges(std::move(parts), voxels, world, by_name)) {
    const auto found = std::ranges::lower_bound(tables.objects, one.name, {}, &ClusterRow::name);
    ++tables.fragments_of[static_cast<std::size_t>(found - tables.objects.begin())];
  }
  return tables;
}

/// Writes parts of columns at their places.
class ColumnWriter {
 public:
  ColumnWriter(const std::filesystem::path& file, const std::vector<TableColumn>& columns)
      : path_(file), file_(file, O_RDWR), columns_(columns) {}

  template <class T, class Row, class ValueOf>
  void write(Column column, std::int64_t begin, const std::vector<Row>& rows, const ValueOf& value) {
    if (rows.empty()) return;
    std::vector<T> values;
    values.reserve(rows.size());
    for (const Row& row : rows)
      values.push_back(static_cast<T>(value(row)));
    const TableColumn& at = columns_[column];
    write_fully(file_.get(), std::as_bytes(std::span(values)),
                at.offset + begin * static_cast<std::int64_t>(sizeof(T)), path_);
  }
  void sync() { sync_data(file_.get(), path_); }

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  const std::vector<TableColumn>& columns_;
};

}  // namespace

void write_graph_tables(const std::filesystem::path& file, const GraphResult& graph, const ObjectIds& ids,
                        MergeLinkage linkage, std::uint64_t voxels,
                        const std::map<std::string, std::string>& attributes, const Communicator& world) {
  Tables tables = tables_of(graph, ids, voxels, world);
  const Extent fragments = extent_of(tables.fragments.size(), world);
  const Extent bundles = extent_of(tables.bundles.size(), world);
  const Extent merges = extent_of(tables.merges.size(), world);
  const Extent objects = extent_of(tables.objects.size(), world);
  number_ends(tables.bundles, tables.fragments, fragments.begin, voxels, world);
  std::vector<TableColumn> all =
      columns(fragments.total, bundles.total, merges.total, objects.total, linkage);
  std::unique_ptr<StagedFile> staged;
  std::string path;
  std::vector<std::int64_t> offsets(all.size());
  on_root(world, [&] {
    staged = std::make_unique<StagedFile>(file);
    create_table_file(staged->path(), all, attributes);
    path = staged->path().string();
    for (std::size_t i = 0; i < all.size(); ++i)
      offsets[i] = all[i].offset;
  });
  world.broadcast(path);
  world.broadcast(std::as_writable_bytes(std::span(offsets)));
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i].offset = offsets[i];
  on_every_rank(world, [&] {
    using Wide = std::uint64_t;
    ColumnWriter writer(path, all);
    const auto id = [](const auto& row) { return row.name + 1; };
    const auto size = [](const ClusterRow& row) { return row.size; };
    writer.write<Wide>(kFragmentId, fragments.begin, tables.fragments, id);
    writer.write<Wide>(kFragmentSize, fragments.begin, tables.fragments, size);
    writer.write<Wide>(kBundleA, bundles.begin, tables.bundles, [](const BundleRow& row) { return row.a; });
    writer.write<Wide>(kBundleB, bundles.begin, tables.bundles, [](const BundleRow& row) { return row.b; });
    writer.write<Wide>(kBundleSum, bundles.begin, tables.bundles,
                       [](const BundleRow& row) { return row.sum; });
    writer.write<Wide>(kBundleCount, bundles.begin, tables.bundles,
                       [](const BundleRow& row) { return row.count; });
    writer.write<std::uint16_t>(kBundleSaddle, bundles.begin, tables.bundles,
                                [](const BundleRow& row) { return row.saddle; });
    writer.write<Wide>(kBundleEdge, bundles.begin, tables.bundles,
                       [](const BundleRow& row) { return row.edge; });
    writer.write<Wide>(kTreeId, merges.begin, tables.merges, id);
    writer.write<Wide>(kTreeInto, merges.begin, tables.merges,
                       [](const MergeRow& row) { return row.into + 1; });
    writer.write<std::uint32_t>(kTreeStage, merges.begin, tables.merges,
                                [](const MergeRow& row) { return row.stage; });
    if (linkage != MergeLinkage::rounds) {
      writer.write<Wide>(kTreeSum, merges.begin, tables.merges, [](const MergeRow& row) { return row.sum; });
      writer.write<Wide>(kTreeCount, merges.begin, tables.merges,
                         [](const MergeRow& row) { return row.count; });
    }
    writer.write<Wide>(kObjectId, objects.begin, tables.objects, id);
    writer.write<Wide>(kObjectSize, objects.begin, tables.objects, size);
    writer.write<Wide>(kObjectFragments, objects.begin, tables.fragments_of,
                       [](std::uint64_t n) { return n; });
    writer.sync();
  });
  on_root(world, [&] { staged->commit(); });
}

RegionGraph region_graph_of(const GraphFile& file) {
  RegionGraph graph;
  graph.name.reserve(file.supervoxel_id.size());
  for (const std::uint64_t id : file.supervoxel_id)
    graph.name.push_back(id - 1);
  graph.size = file.supervoxel_size;
  graph.a.assign(file.bundle_a.begin(), file.bundle_a.end());
  graph.b.assign(file.bundle_b.begin(), file.bundle_b.end());
  graph.sum = file.bundle_sum;
  graph.count = file.bundle_count;
  graph.saddle.assign(file.bundle_saddle.begin(), file.bundle_saddle.end());
  graph.edge = file.bundle_edge;
  return graph;
}

}  // namespace tessera
