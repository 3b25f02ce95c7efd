#include "pipeline/evaluate/graph_evaluation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/volume/block_journal.h"
#include "pipeline/evaluate/label_pairs.h"
#include "pipeline/run/segmentation_files.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

constexpr std::string_view kGraphEnding = ".graph.h5";

/// The row of each id. Errors: Error for an id that is no supervoxel's.
class RowsOfIds {
 public:
  RowsOfIds(const std::vector<std::uint64_t>& ids, const std::string& name) : ids_(ids), name_(name) {
    if (ids.size() >= std::numeric_limits<std::uint32_t>::max())
      throw Error(fmt::format("{} has {} supervoxels; at most 2^32 - 2 can be evaluated", name, ids.size()));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == 0 || (i > 0 && ids[i] <= ids[i - 1]))
        throw Error(fmt::format(
            "{}: the ids of /supervoxels do not rise from 1 on (is the file damaged? make it again)", name));
    }
  }
  std::uint32_t operator()(std::uint64_t id) const {
    const auto found = std::lower_bound(ids_.begin(), ids_.end(), id);
    if (found == ids_.end() || *found != id)
      throw Error(fmt::format(
          "{}: /tree names {}, which is no supervoxel (is the file damaged? make it again)", name_, id));
    return static_cast<std::uint32_t>(found - ids_.begin());
  }

 private:
  const std::vector<std::uint64_t>& ids_;
  const std::string& name_;
};

std::vector<TreeMerge> stored_merges(const GraphFile& file, const std::string& name) {
  const RowsOfIds row(file.supervoxel_id, name);
  std::vector<TreeMerge> merges;
  for (std::size_t i = 0; i < file.tree_id.size(); ++i) {
    const std::uint64_t stage =
        std::min<std::uint64_t>(file.tree_stage[i], std::numeric_limits<std::uint32_t>::max());
    merges.push_back({row(file.tree_id[i]), row(file.tree_into[i]), static_cast<std::uint32_t>(stage)});
  }
  return merges;
}

/// The attribute `stages`: [["mean", 0.95], ["link"], ...]. Errors: Error.
std::vector<SupervoxelTree::Stage> stored_stages(const GraphFile& file, const std::string& name,
                                                 std::uint32_t needed) {
  std::vector<SupervoxelTree::Stage> stages;
  const auto found = file.attributes.find("stages");
  if (found != file.attributes.end()) {
    const nlohmann::json list = nlohmann::json::parse(found->second, nullptr, false);
    for (const auto& one : list.is_array() ? list : nlohmann::json::array()) {
      if (!one.is_array() || one.empty() || !one[0].is_string()) break;
      stages.push_back({one[0].get<std::string>(), std::nullopt});
      if (one.size() > 1 && one[1].is_number()) stages.back().threshold = one[1].get<double>();
    }
  }
  if (stages.size() < needed)
    throw Error(
        fmt::format("{}: the tree has {} stages, and the attribute 'stages' names {} (is the file damaged? "
                    "make it again)",
                    name, needed, stages.size()));
  return stages;
}

/// The stage at which links between sections are made, where the tree is cut at other thresholds than its
/// own: the first one below the last threshold that came before them.
std::uint32_t stage_of_links(const std::vector<SupervoxelTree::Stage>& stored, std::uint64_t link,
                             std::span<const Fraction> thresholds) {
  for (std::uint64_t stage = link - 1; stage > 0; --stage) {
    const std::optional<double> before = stored[stage - 1].threshold;
    if (!before) continue;
    const Fraction last = weight_threshold(*before);
    const auto found =
        std::find_if(thresholds.begin(), thresholds.end(), [&](const Fraction& one) { return one < last; });
    return found == thresholds.end() ? 0 : static_cast<std::uint32_t>(found - thresholds.begin()) + 1;
  }
  return 1;
}

/// Merges of small objects, which come after the last threshold, are left out.
std::vector<TreeMerge> merges_at(const std::vector<double>& thresholds, const GraphFile& file,
                                 const std::vector<SupervoxelTree::Stage>& stored, const std::string& name) {
  if (file.tree_sum.empty() && !file.tree_id.empty()) {
    throw UsageError(fmt::format(
        "{} can be cut at its own stages only: leave out --thresholds. A tree of merges with their sums and "
        "counts can be cut at any threshold",
        name));
  }
  std::vector<Fraction> exact(thresholds.size());
  std::transform(thresholds.begin(), thresholds.end(), exact.begin(), weight_threshold);
  std::vector<TreeMerge> merges;
  const std::vector<TreeMerge> rows = stored_merges(file, name);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::uint32_t at = rows[i].stage;
    const std::string kind = at > 0 && at <= stored.size() ? stored[at - 1].kind : "";
    std::uint32_t stage = 0;
    if (i < file.tree_count.size() && file.tree_count[i] > 0) {
      stage = stage_reached({file.tree_sum[i], file.tree_count[i]}, exact);
    } else if (kind == "link") {
      stage = stage_of_links(stored, at, exact);
    } else if (kind != "small") {
      throw Error(fmt::format("{}: /tree/count is missing or 0 (is the file damaged? make it again)", name));
    }
    if (stage > 0) merges.push_back({rows[i].gone, rows[i].into, stage});
  }
  return merges;
}

}  // namespace

SupervoxelTree::SupervoxelTree(const GraphFile& file, const std::string& name)
    : ids(file.supervoxel_id),
      sizes(file.supervoxel_size),
      tree(static_cast<std::uint32_t>(ids.size()), stored_merges(file, name)),
      stages(stored_stages(file, name, tree.stages())) {}

SupervoxelTree::SupervoxelTree(const GraphFile& file, const std::string& name,
                               const std::vector<double>& falling_thresholds)
    : ids(file.supervoxel_id),
      sizes(file.supervoxel_size),
      tree(static_cast<std::uint32_t>(ids.size()),
           merges_at(falling_thresholds, file, stored_stages(file, name, 0), name)) {
  const std::vector<Stage> stored = stored_stages(file, name, 0);
  const auto first = std::ranges::find_if(stored, [](const Stage& one) { return one.threshold.has_value(); });
  for (const double threshold : falling_thresholds)
    stages.push_back({first == stored.end() ? name_of(Linkage::mean) : first->kind, threshold});
}

DatasetName supervoxels_of_graph(const std::filesystem::path& graph) {
  const std::string text = graph.string();
  if (!text.ends_with(kGraphEnding))
    throw UsageError(
        fmt::format("--graph: {} does not end in {}: name its supervoxels by --prediction FILE.h5:/path",
                    text, kGraphEnding));
  const std::filesystem::path objects = text.substr(0, text.size() - kGraphEnding.size()) + ".h5";
  const DatasetName own = supervoxels_of(objects);
  return file_exists(own.file) ? own : DatasetName{objects, own.path};
}

std::string GraphEvaluation::name_of_stage(std::uint32_t stage) const {
  if (stage == 0) return "supervoxels";
  const SupervoxelTree::Stage& one = named[stage - 1];
  return one.threshold ? fmt::format("{} {}", one.kind, *one.threshold) : one.kind;
}

namespace {

/// N thresholds from 1 down to 0.
std::vector<double> falling_thresholds(int count) {
  std::vector<double> thresholds;
  for (int i = count - 1; i >= 0; --i)
    thresholds.push_back(static_cast<double>(i) / (count - 1));
  return thresholds;
}

/// What the run of this graph removed from its objects, by the attribute `job`.
std::vector<std::string> removed_by_run(const GraphFile& file) {
  std::vector<std::string> removed;
  const auto found = file.attributes.find("job");
  if (found == file.attributes.end()) return removed;
  const nlohmann::json job = nlohmann::json::parse(found->second, nullptr, false);
  const auto value = [&](const char* key) {
    return job.is_object() && job.contains(key) && job[key].is_string() ? job[key].get<std::string>() : "0";
  };
  const std::string size = value("segment.min_size"), probability = value("segment.background_below");
  if (size != "0") removed.push_back(fmt::format("objects of fewer than {} voxels (segment.min_size)", size));
  if (probability != "0")
    removed.push_back(fmt::format("voxels below {} (segment.background_below)", probability));
  return removed;
}

/// Supervoxels that `segment` wrote say which first pass they are of. Errors: UsageError where the graph is
/// of another one.
void require_same_first_pass(const VolumeInfo& supervoxels, const GraphFile& file, const std::string& graph) {
  const auto& attributes = supervoxels.attributes;
  const auto meaning = attributes.find("meaning"), then = attributes.find("job");
  const auto now = file.attributes.find("job");
  if (meaning == attributes.end() || meaning->second != kSupervoxelMeaning || then == attributes.end() ||
      now == file.attributes.end())
    return;
  JobDescription job = job_from_json(then->second, supervoxels.name.text());
  job.erase("segment.chunk");
  JobDescription of_graph = job_from_json(now->second, graph);
  std::erase_if(of_graph, [&](const auto& one) {
    return job.count(one.first) == 0 && !one.first.starts_with("segment.mask") &&
           !one.first.starts_with("segment.prediction");
  });
  const std::vector<std::string> differences = differences_between(job, of_graph);
  if (differences.empty()) return;
  throw UsageError(
      fmt::format("{} is not of {}: it has other supervoxels:\n  {}\nrun `tessera segment` with --update and "
                  "segment.supervoxels: true",
                  supervoxels.name.text(), graph, fmt::join(differences, "\n  ")));
}

/// Stages that the tree has no merge of repeat the scores of the stage before.
void add_missing_stages(GraphEvaluation& evaluation) {
  while (evaluation.stages.size() <= evaluation.named.size()) {
    evaluation.stages.push_back(evaluation.stages.back());
    evaluation.stages.back().stage = static_cast<std::uint32_t>(evaluation.stages.size()) - 1;
  }
}

}  // namespace

GraphEvaluation evaluate_graph(const EvaluationRequest& request, const std::filesystem::path& graph,
                               const std::optional<int>& thresholds, const Communicator& world) {
  const double begin_s = seconds_now();
  GraphEvaluation evaluation;
  evaluation.request = request;
  evaluation.graph = graph;
  std::optional<SupervoxelTree> supervoxels;
  EvaluatedVolumes volumes;
  on_every_rank(world, [&] {
    const GraphFile file = read_graph_file(graph, false);
    evaluation.not_removed = removed_by_run(file);
    if (thresholds)
      supervoxels.emplace(file, graph.string(), falling_thresholds(*thresholds));
    else
      supervoxels.emplace(file, graph.string());
    volumes = open_evaluated(request, EvaluationKind::labels);
    require_same_first_pass(volumes.prediction->info(), file, graph.string());
  });
  evaluation.sections = volumes.sections;
  evaluation.bounds = volumes.bounds;
  evaluation.named = supervoxels->stages;
  double read_s = 0, count_s = 0, score_s = 0;
  LabelTable table;
  on_every_rank(world, [&] {
    const ScopeTimer counting(count_s);
    table = count_label_pairs(volumes, request.ignore_label, world, read_s);
  });
  {
    const ScopeTimer scoring(score_s);
    evaluation.table_pairs = static_cast<std::int64_t>(table.size());
    world.sum(std::span(&evaluation.table_pairs, 1));
    evaluation.stages = score_stages(supervoxels->tree, supervoxels->ids, table, world);
    add_missing_stages(evaluation);
    if (const StageScores* best = best_by_rand(evaluation.stages)) evaluation.best_rand = best->stage;
    if (const StageScores* best = best_by_voi(evaluation.stages)) {
      evaluation.best_voi = best->stage;
      evaluation.objects = splits_and_merges(supervoxels->tree, best->stage, supervoxels->ids, table, world);
    }
  }
  evaluation.run =
      evaluation_run(begin_s, {{"read", read_s}, {"count", count_s - read_s}, {"score", score_s}}, world);
  on_root(world, [&] {
    if (request.json_file) write_text_file(*request.json_file, evaluation_json(evaluation));
  });
  return evaluation;
}

}  // namespace tessera
