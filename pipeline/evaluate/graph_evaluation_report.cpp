#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "io/base/json_text.h"
#include "pipeline/evaluate/evaluation_json.h"
#include "pipeline/evaluate/graph_evaluation.h"
#include "pipeline/run/score_text.h"
#include "pipeline/run/text_table.h"

namespace tessera {
namespace {

/// Objects of each list, and parts of an object, that the text shows. The JSON file has all.
constexpr std::size_t kShownObjects = 5, kShownParts = 4;

std::string text_of(const char* heading, const char* object_word, const char* part_word,
                    const std::vector<DividedObject>& objects) {
  if (objects.empty()) return {};
  std::string text = fmt::format("\n{}\n", heading);
  for (std::size_t i = 0; i < std::min(objects.size(), kShownObjects); ++i) {
    const DividedObject& one = objects[i];
    text += fmt::format("  {} {}, {} voxels:", object_word, one.label, one.voxels);
    for (std::size_t part = 0; part < std::min(one.parts.size(), kShownParts); ++part) {
      const SharedPart& shared = one.parts[part];
      text += part == 0 ? " " : ", ";
      text += shared.label == 0 ? fmt::format("{} in no object", shared.voxels)
                                : fmt::format("{} in {} {}", shared.voxels, part_word, shared.label);
    }
    if (one.parts.size() > kShownParts) text += fmt::format(", and {} more", one.parts.size() - kShownParts);
    text += "\n";
  }
  return text;
}

Json json_of_divided(const std::vector<DividedObject>& objects) {
  Json rows = Json::array();
  for (const DividedObject& one : objects) {
    Json parts = Json::array();
    for (const SharedPart& part : one.parts)
      parts.push_back({{"id", part.label}, {"voxels", part.voxels}});
    rows.push_back({{"id", one.label}, {"voxels", one.voxels}, {"parts", parts}});
  }
  return rows;
}

Json json_of_stage(const GraphEvaluation& evaluation, const StageScores& stage) {
  const LabelScores s = scores_of(stage.sums);
  Json json{{"stage", stage.stage},
            {"kind", stage.stage == 0 ? "supervoxels" : evaluation.named[stage.stage - 1].kind},
            {"threshold", stage.stage == 0 || !evaluation.named[stage.stage - 1].threshold
                              ? Json()
                              : Json(*evaluation.named[stage.stage - 1].threshold)},
            {"objects", stage.objects},
            {"voi_split", s.voi_split},
            {"voi_merge", s.voi_merge},
            {"voi", s.voi},
            {"adapted_rand_error", s.adapted_rand_error},
            {"rand_f", 1 - s.adapted_rand_error},
            {"rand_precision", s.rand_precision},
            {"rand_recall", s.rand_recall},
            {"voxels", static_cast<std::int64_t>(stage.sums.voxels)}};
  json.update(json_of(stage.sums.objects));
  return json;
}

}  // namespace

std::string evaluation_text(const GraphEvaluation& evaluation) {
  std::string text =
      fmt::format("graph       {}\n", evaluation.graph.string()) +
      head_text(evaluation.request, EvaluationKind::labels, evaluation.sections, evaluation.bounds);
  TextTable table(
      {"stage", "objects", "VOI split", "VOI merge", "VOI", "Rand error", "Rand F", "precision", "recall"});
  for (const StageScores& stage : evaluation.stages) {
    const LabelScores s = scores_of(stage.sums);
    std::vector<std::string> cells{evaluation.name_of_stage(stage.stage), fmt::format("{}", stage.objects)};
    for (const double value : {s.voi_split, s.voi_merge, s.voi, s.adapted_rand_error,
                               1 - s.adapted_rand_error, s.rand_precision, s.rand_recall})
      cells.push_back(score_text(value, 4));
    const bool voi = evaluation.best_voi == stage.stage, rand = evaluation.best_rand == stage.stage;
    table.add(cells, voi && rand ? "best" : voi ? "best VOI" : rand ? "best Rand" : "");
  }
  text += table.text() +
          "\nRand error: the adapted one; F: 1 - Rand error; precision, recall: of pairs of voxels\n";
  if (!evaluation.not_removed.empty()) {
    text += fmt::format(
        "The scores are with {}, which the run removed from its result. Score the result itself by "
        "`tessera evaluate --prediction`\n",
        fmt::join(evaluation.not_removed, " and "));
  }
  if (!evaluation.best_voi) return text + "every score is undefined: no voxel has a true label\n";
  const std::string at = " at " + evaluation.name_of_stage(*evaluation.best_voi);
  text += text_of(("most split true objects" + at).c_str(), "true", "object", evaluation.objects.split);
  text += text_of(("objects that merge most" + at).c_str(), "object", "true", evaluation.objects.merged);
  return text;
}

std::string evaluation_json(const GraphEvaluation& evaluation) {
  Json json = json_of(evaluation.request, EvaluationKind::labels, evaluation.sections, evaluation.bounds);
  json["kind"] = "graph";
  json["graph"] = evaluation.graph.string();
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(); };
  json["best_stage"] = {{"voi", or_null(evaluation.best_voi)},
                        {"adapted_rand_error", or_null(evaluation.best_rand)}};
  json["not_removed"] = evaluation.not_removed;
  json["stages"] = Json::array();
  for (const StageScores& stage : evaluation.stages)
    json["stages"].push_back(json_of_stage(evaluation, stage));
  json["split"] = json_of_divided(evaluation.objects.split);
  json["merged"] = json_of_divided(evaluation.objects.merged);
  json["run"] = json_of(evaluation.run);
  json["run"]["table_pairs"] = evaluation.table_pairs;
  return json_text(json, 2) + "\n";
}

}  // namespace tessera
