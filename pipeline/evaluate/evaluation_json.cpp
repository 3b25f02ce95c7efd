#include "pipeline/evaluate/evaluation_json.h"

#include <algorithm>
#include <cmath>

namespace tessera {

Json json_of(const EvaluationRequest& request, EvaluationKind kind, const SectionRange& sections) {
  return {{"kind", name_of(kind)},
          {"prediction", request.prediction.text()},
          {"labels", request.labels.text()},
          {"section_range", {sections.begin, sections.end}}};
}

Json json_of(const EvaluationRun& run) {
  Json stages = Json::object();
  for (const auto& [name, seconds] : run.stage_s)
    stages[name] = seconds;
  return {{"ranks", run.ranks},
          {"seconds", run.elapsed_s},
          {"stage_seconds", stages},
          {"peak_memory_bytes_per_rank", run.peak_memory_bytes}};
}

Json json_of(const ObjectSums& sums) {
  const ObjectScores scores = scores_of(sums);
  Json overlap = Json::array();
  for (int i = 0; i < kOverlapLevels; ++i)
    overlap.push_back(std::round(overlap_level(i) * 100) / 100);
  return {{"objects_true", static_cast<std::int64_t>(sums.truth)},
          {"objects_predicted", static_cast<std::int64_t>(sums.predicted)},
          {"seg", scores.seg},
          {"overlap", overlap},
          {"object_precision", scores.precision},
          {"object_recall", scores.recall},
          {"object_f1", scores.f1}};
}

Json json_of(const ConfusionMatrix& matrix) {
  Json rows = Json::array();
  for (std::int64_t truth = 0; truth < matrix.classes; ++truth) {
    Json row = Json::array();
    for (std::int64_t predicted = 0; predicted < matrix.classes; ++predicted)
      row.push_back(matrix.at(truth, predicted));
    rows.push_back(row);
  }
  return rows;
}

Json json_of(const ClassScores& scores) {
  return {{"iou", scores.iou},         {"dice", scores.dice},         {"precision", scores.precision},
          {"recall", scores.recall},   {"voxels_true", scores.truth}, {"voxels_predicted", scores.predicted},
          {"voxels_both", scores.both}};
}

std::size_t worst_count(std::size_t count) {
  return count < 2 ? 0 : std::clamp<std::size_t>(count / 4, 1, 3);
}

}  // namespace tessera
