#include "pipeline/evaluate/evaluation_json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace tessera {

std::string head_text(const EvaluationRequest& request, EvaluationKind kind, const SectionRange& sections,
                      const PixelBounds& bounds) {
  std::vector<std::string> notes;
  if (request.label_kind == LabelKind::instances && kind != EvaluationKind::labels)
    notes.emplace_back("instances");
  if (request.invert_labels) notes.emplace_back("inverted");
  if (request.label_class) notes.push_back(fmt::format("class {}", *request.label_class));
  if (request.ignore_label) notes.push_back("without " + label_id_text(*request.ignore_label));
  std::string text = fmt::format(
      "prediction  {}{}\nlabels      {}{}\nsections    {}:{}\n", request.prediction.text(),
      kind == EvaluationKind::probability ? "" : ", taken as " + name_of(kind), request.labels.text(),
      notes.empty() ? "" : fmt::format(" ({})", fmt::join(notes, ", ")), sections.begin, sections.end);
  if (!request.completeness.complete()) text += fmt::format("incomplete  {}\n", request.completeness.problem);
  if (request.frame) text += fmt::format("of          {}\n", request.frame->name.text());
  if (request.frame || request.region) {
    text += fmt::format("region      y [{}, {}) x [{}, {})\n", bounds.y_begin, bounds.y_end, bounds.x_begin,
                        bounds.x_end);
  }
  return text + "\n";
}

Json json_of(const EvaluationRequest& request, EvaluationKind kind, const SectionRange& sections,
             const PixelBounds& bounds) {
  const bool known = request.completeness.blocks > 0;
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(); };
  return {{"kind", name_of(kind)},
          {"prediction", request.prediction.text()},
          {"labels", request.labels.text()},
          {"section_range", {sections.begin, sections.end}},
          {"complete", request.completeness.complete()},
          {"incomplete", request.completeness.complete() ? Json() : Json(request.completeness.problem)},
          {"blocks_done", known ? Json(request.completeness.done) : Json()},
          {"blocks", known ? Json(request.completeness.blocks) : Json()},
          {"label_kind", name_of(request.label_kind)},
          {"inverted_labels", request.invert_labels},
          {"ignore_label", or_null(request.ignore_label)},
          {"label_class", or_null(request.label_class)},
          {"classes", or_null(request.classes)},
          {"frame", request.frame ? Json(request.frame->name.text()) : Json()},
          {"region", {{"begin", {bounds.y_begin, bounds.x_begin}}, {"end", {bounds.y_end, bounds.x_end}}}}};
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
