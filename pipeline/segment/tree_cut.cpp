#include "pipeline/segment/tree_cut.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/graph/block_graph_file.h"
#include "io/graph/object_table_file.h"
#include "workers/agglomerate/small_objects.h"
#include "workers/segment/graph_tables.h"

namespace tessera {
namespace {

constexpr const char* kSegmentFirst =
    "run `tessera segment` without --cut first, with segment.keep_graph: true";

GraphFile graph_of_first_pass(const std::filesystem::path& file, const std::string& instance) {
  if (!file_exists(file))
    throw UsageError(fmt::format("--cut: {} does not exist: {}", file.string(), kSegmentFirst));
  GraphFile graph = read_graph_file(file);
  const auto found = graph.attributes.find("instance");
  if (found == graph.attributes.end() || found->second != instance) {
    throw UsageError(fmt::format("--cut: {} is not of the blocks' graph files beside it: {}", file.string(),
                                 kSegmentFirst));
  }
  return graph;
}

bool are_equal(double x, double y) {
  return weight_threshold(x) == weight_threshold(y);
}

/// The row that names the object of each row at this threshold, before merges of small objects.
std::vector<std::uint32_t> objects_at(const StoredGraph& graph, double threshold) {
  const SupervoxelTree& stored = graph.supervoxels();
  std::uint32_t last = 0;  // the stage before small objects merge
  for (std::uint32_t i = 0; i < stored.stages.size(); ++i) {
    if (stored.stages[i].kind != "small") last = i + 1;
  }
  if (are_equal(threshold, graph.thresholds().back())) return stored.tree.cut(last);
  for (std::uint32_t i = 0; i < last; ++i) {
    const std::optional<double> at = stored.stages[i].threshold;
    if (at && are_equal(*at, threshold)) return stored.tree.cut(i + 1);
  }
  return SupervoxelTree(graph.file(), graph.name(), {threshold}).tree.cut(1);
}

/// Follows the merges of small objects.
void merge_small(const GraphFile& file, const SegmentConfig& config, std::vector<std::uint32_t>& objects) {
  const RegionGraph graph = region_graph_of(file);
  require_valid(graph, Linkage::mean);
  std::vector<std::uint32_t> into(objects.size());
  std::iota(into.begin(), into.end(), 0U);
  for (const TreeMerge& one :
       merge_small_objects(graph, objects, static_cast<std::uint64_t>(config.small_size),
                           threshold_score(config.small_threshold), 1))
    into[one.gone] = one.into;
  for (std::uint32_t& row : into)
    row = into[row];  // merges lead to smaller rows, which are final already
  for (std::uint32_t& object : objects)
    object = into[object];
}

/// What the merge tree depends on.
JobDescription of_tree(JobDescription job) {
  for (const char* free :
       {"segment.thresholds", "segment.min_size", "segment.ids", "segment.chunk", "segment.output path",
        "segment.small_size", "segment.small_threshold", "segment.background_below"})
    job.erase(free);
  std::erase_if(job, [](const auto& one) { return one.first.starts_with("segment.choose"); });
  return job;
}

std::vector<std::uint64_t> names_of(const GraphFile& file) {
  std::vector<std::uint64_t> names = file.supervoxel_id;
  for (std::uint64_t& name : names)
    --name;
  return names;
}

}  // namespace

StoredGraph::StoredGraph(const std::filesystem::path& file, const std::string& first_pass_instance)
    : name_(file.string()),
      file_(graph_of_first_pass(file, first_pass_instance)),
      supervoxels_(file_, name_) {
  if (thresholds().empty())
    throw Error(fmt::format("{}: its stages have no threshold: make it again", name_));
}

JobDescription StoredGraph::job() const {
  const auto found = file_.attributes.find("job");
  if (found == file_.attributes.end())
    throw Error(fmt::format("{} lacks the attribute 'job' (is the file damaged? make it again)", name_));
  return job_from_json(found->second, name_);
}

std::vector<double> StoredGraph::thresholds() const {
  std::vector<double> thresholds;
  for (const SupervoxelTree::Stage& one : supervoxels_.stages) {
    if (one.threshold && one.kind != "small") thresholds.push_back(*one.threshold);
  }
  return thresholds;
}

std::vector<double> thresholds_of_cut(const StoredGraph& graph, const SegmentConfig& config, SegmentMode mode,
                                      double cut) {
  std::vector<double> stored = graph.thresholds();
  if (!(cut > 0 && cut <= 1))
    throw UsageError(fmt::format("--cut {}: a threshold is above 0 and at most 1", cut));
  const Fraction exact = weight_threshold(cut);
  if (exact < weight_threshold(stored.back())) {
    throw UsageError(fmt::format(
        "--cut {0}: the merges of {1} end at {2}: choose a threshold of at least that, or segment again with "
        "--restart --set segment.threshold={0}",
        cut, graph.name(), stored.back()));
  }
  const auto first_below =
      std::ranges::find_if(stored, [&](double one) { return weight_threshold(one) <= exact; });
  if (config.linkage == MergeLinkage::rounds && !are_equal(*first_below, cut)) {
    throw UsageError(fmt::format(
        "--cut {}: rounds can be cut at their own thresholds only: {}. segment.linkage: mean can be cut "
        "anywhere",
        cut, fmt::join(stored, ", ")));
  }
  if (mode == SegmentMode::sections && cut >= config.link_below && !are_equal(cut, stored.back())) {
    throw UsageError(fmt::format(
        "--cut {0}: sections are linked below segment.link_below, which is {1}: choose a lower threshold, or "
        "segment again with --restart --set segment.threshold={0}",
        cut, config.link_below));
  }
  stored.erase(first_below, stored.end());
  stored.push_back(cut);
  return stored;
}

TreeCut cut_tree(const StoredGraph& graph, const SegmentConfig& config) {
  std::vector<std::uint32_t> objects = objects_at(graph, config.threshold);
  if (config.small_size > 0) merge_small(graph.file(), config, objects);
  TreeCut cut;
  cut.object = object_ids(objects, names_of(graph.file()), graph.file().supervoxel_size,
                          static_cast<std::uint64_t>(std::max<std::int64_t>(config.min_size, 0)),
                          config.compact_ids ? ObjectIdKind::compact : ObjectIdKind::canonical);
  for (std::uint32_t row = 0; row < objects.size(); ++row)
    if (objects[row] == row && cut.object[row] != 0) ++cut.objects;
  return cut;
}

void write_cut_tables(const SegmentJob& job, const StoredGraph& graph, const TreeCut& cut,
                      const std::string& digest) {
  const ObjectTables supervoxels(job.supervoxel_tables());
  std::vector<std::int64_t> counts;
  for (std::int64_t block = 0; block < supervoxels.blocks(); ++block)
    counts.push_back(supervoxels.clusters(block));
  const UnfinishedTables unfinished(job.tables());
  ObjectTableFile::create(job.tables(), digest, counts);
  ObjectTableFile tables(job.tables(), counts);
  const std::vector<std::uint64_t>& ids = graph.supervoxels().ids;
  for (std::int64_t block = 0; block < supervoxels.blocks(); ++block) {
    std::vector<std::uint64_t> of_block = supervoxels.read(block);
    for (std::uint64_t& id : of_block) {
      const auto found = std::ranges::lower_bound(ids, id);
      if (found == ids.end() || *found != id) {
        throw Error(fmt::format("{} names the supervoxel {}, which {} lacks: segment again with --restart",
                                job.supervoxel_tables().string(), id, graph.name()));
      }
      id = cut.object[static_cast<std::size_t>(found - ids.begin())];
    }
    tables.write(block, of_block);
  }
  tables.sync();
  ObjectTableFile::put_in_place(job.tables());
}

JournalContents finished_first_pass(const std::filesystem::path& folder, const JobDescription& job) {
  const std::filesystem::path file = folder / "pass1.journal";
  if (!file_exists(file))
    throw UsageError(fmt::format("--cut: {} does not exist: {}", file.string(), kSegmentFirst));
  JournalContents contents = read_journal(file);
  JobDescription needed = job;
  needed.erase(kHistogramsOfJob);  // merges need them, a cut does not
  if (const auto differences = first_pass_differences(contents.head.job, needed); !differences.empty()) {
    throw UsageError(fmt::format("--cut: {} is of another job ({}): segment with --restart first",
                                 folder.string(), fmt::join(differences, "; ")));
  }
  bool complete = contents.blocks_left() == 0;
  for (const JournalRecord& one : contents.records)
    complete = complete && file_exists(block_graph_file(folder, one.block));
  if (!complete) {
    throw UsageError(
        fmt::format("--cut: {} lacks graph files of blocks: {}", folder.string(), kSegmentFirst));
  }
  return contents;
}

bool has_supervoxel_tables(const std::filesystem::path& file, const std::string& digest) {
  try {
    return file_exists(file) && ObjectTables(file).digest() == digest;
  } catch (const Error&) {
    return false;  // damaged
  }
}

void require_supervoxel_tables(const std::filesystem::path& file, const std::string& digest) {
  if (!has_supervoxel_tables(file, digest)) {
    throw UsageError(
        fmt::format("--cut: {} is missing or of another job: run `tessera segment` without --cut and with "
                    "--restart first",
                    file.string()));
  }
}

bool are_of_one_tree(const JobDescription& then, const JobDescription& now) {
  return differences_between(of_tree(then), of_tree(now)).empty();
}

void require_same_tree(const StoredGraph& graph, const JobDescription& job) {
  const auto differences = differences_between(of_tree(graph.job()), of_tree(job));
  if (differences.empty()) return;
  throw UsageError(fmt::format("--cut: {} is of another job ({}): segment with --restart first", graph.name(),
                               fmt::join(differences, "; ")));
}

}  // namespace tessera
