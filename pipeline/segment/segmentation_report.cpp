#include "pipeline/segment/segmentation_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/base/utf8_text.h"

namespace tessera {
namespace {

std::string pass_text(const char* name, const BlockRunReport& run) {
  if (run.blocks_done == 0) return fmt::format("{}: done by an earlier start\n", name);
  const WorkerStatistics total = run.total();
  return fmt::format("{}: {} blocks in {:.1f} s, {:.1f} Mvoxel/s\n", name, run.blocks_done, run.elapsed_s,
                     static_cast<double>(total.voxels) / 1e6 / std::max(run.elapsed_s, 1e-3));
}

nlohmann::json pass_json(const BlockRunReport& run) {
  return {{"blocks", run.blocks},
          {"blocks_done", run.blocks_done},
          {"elapsed_s", run.elapsed_s},
          {"voxels", run.total().voxels},
          {"workers", run.workers.size()}};
}

}  // namespace

std::string SegmentationReport::text() const {
  std::string text = pass_text("first pass", first);
  if (graph_was_done) {
    text += fmt::format("graph: done by an earlier start, {} objects\n", sums.objects);
  } else if (cut) {
    text += fmt::format("graph: cut at {}, {} fragments, {} objects, in {:.1f} s\n", *cut, sums.fragments,
                        sums.objects, graph_s);
  } else {
    text += fmt::format(
        "graph: {} clusters and {} bundles of the blocks, {} fragments, {} objects, in {:.1f} s\n",
        sums.clusters, sums.bundles, sums.fragments, sums.objects, graph_s);
  }
  text += pass_text("second pass", second);
  if (!supervoxels.empty()) text += pass_text("supervoxels", third);
  return choice_text + text;
}

nlohmann::json SegmentationReport::json() const {
  nlohmann::json json{{"end", name_of(end)},
                      {"step", step},
                      {"step_begin_s", step_begin_s},
                      {"blocks_before", blocks_before},
                      {"result", shown_as_utf8(result)},
                      {"threshold", threshold},
                      {"first_pass", pass_json(first)},
                      {"second_pass", pass_json(second)},
                      {"graph", {{"elapsed_s", graph_s}, {"done_by_an_earlier_start", graph_was_done}}}};
  if (!supervoxels.empty()) {
    json["supervoxels"] = shown_as_utf8(supervoxels);
    json["supervoxel_pass"] = pass_json(third);
  }
  if (!choice.empty()) json["chosen_threshold"] = nlohmann::json::parse(choice);
  if (graph_digest.empty()) return json;
  json["graph"]["job"] = graph_digest;
  if (cut) {
    json["graph"]["cut"] = *cut;
    json["fragments"] = sums.fragments;
    json["objects"] = sums.objects;
    return json;
  }
  json["graph"]["clusters"] = sums.clusters;
  json["graph"]["bundles"] = sums.bundles;
  json["fragments"] = sums.fragments;
  json["fragment_bundles"] = sums.fragment_bundles;
  json["objects"] = sums.objects;
  json["stages"] = nlohmann::json::parse(stages);
  json["objects_after_stage"] = sums.objects_after_stage;
  return json;
}

std::optional<GraphSums> graph_sums_in(const nlohmann::json& record, const std::string& digest) {
  try {
    const nlohmann::json& graph = record.at("graph");
    if (graph.at("job") != digest) return std::nullopt;
    GraphSums sums;
    sums.clusters = graph.at("clusters");
    sums.bundles = graph.at("bundles");
    sums.fragments = record.at("fragments");
    sums.fragment_bundles = record.at("fragment_bundles");
    sums.objects = record.at("objects");
    sums.objects_after_stage = record.at("objects_after_stage").get<std::vector<std::int64_t>>();
    return sums;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace tessera
