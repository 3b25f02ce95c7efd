#include <fmt/format.h>

#include <algorithm>

#include "pipeline/evaluate/evaluation_json.h"
#include "pipeline/evaluate/label_evaluation.h"
#include "pipeline/run/score_text.h"
#include "pipeline/run/text_table.h"

namespace tessera {
namespace {

Json json_of_labels(const LabelSums& sums) {
  const LabelScores scores = scores_of(sums);
  Json json{{"voi_split", scores.voi_split},
            {"voi_merge", scores.voi_merge},
            {"voi", scores.voi},
            {"adapted_rand_error", scores.adapted_rand_error},
            {"rand_precision", scores.rand_precision},
            {"rand_recall", scores.rand_recall},
            {"voxels", static_cast<std::int64_t>(sums.voxels)}};
  json.update(json_of(sums.objects));
  return json;
}

Json json_of_objects(const std::vector<ObjectParts>& objects) {
  Json rows = Json::array();
  for (const ObjectParts& one : objects) {
    rows.push_back({{"id", one.label},
                    {"voxels", one.voxels},
                    {"parts", one.parts},
                    {"largest_part", one.largest},
                    {"voxels_in_largest_part", one.shared}});
  }
  return rows;
}

bool is_among_worst(const std::vector<std::int64_t>& from_worst, std::size_t z) {
  const auto end = from_worst.begin() + static_cast<std::ptrdiff_t>(worst_count(from_worst.size()));
  return std::find(from_worst.begin(), end, static_cast<std::int64_t>(z)) != end;
}

}  // namespace

std::string evaluation_text(const LabelEvaluation& evaluation) {
  std::string text =
      head_text(evaluation.request, EvaluationKind::labels, evaluation.sections, evaluation.bounds);
  TextTable table(
      {"", "VOI split", "VOI merge", "Rand error", "precision", "recall", "SEG", "F1 0.5", "F1 0.75"});
  const auto row = [&](const std::string& name, const LabelSums& sums) {
    const LabelScores s = scores_of(sums);
    std::vector<std::string> cells{name};
    for (const double value : {s.voi_split, s.voi_merge, s.adapted_rand_error, s.rand_precision,
                               s.rand_recall, s.objects.seg, s.objects.f1[0], s.objects.f1[5]})
      cells.push_back(score_text(value, 6));
    table.add(cells);
  };
  if (evaluation.has_volume()) row("volume, 3-D", evaluation.volume);
  row("sections, 2-D", evaluation.pooled);
  const std::vector<std::int64_t> worst = evaluation.from_worst();
  for (std::size_t z = 0; z < evaluation.section.size(); ++z) {
    row(fmt::format("section {}{}", evaluation.sections.begin + static_cast<std::int64_t>(z),
                    is_among_worst(worst, z) ? ", worst" : ""),
        evaluation.section[z]);
  }
  if (!evaluation.thinned.empty()) {
    const ThinnedScores thin = thinned_scores(evaluation.thinned);
    text += fmt::format("sections, 2-D: V^Rand_thin {}, V^Info_thin {}\n\n", score_text(thin.rand_f_macro, 6),
                        score_text(thin.info_f_macro, 6));
  }
  if (evaluation.request.objects_of_classes)
    text += "The labels are classes: true objects are the components of the interior of each section.\n\n";
  else if (evaluation.within_sections)
    text += "The objects were made within sections: there is no score in 3-D.\n\n";
  return text + table.text() +
         "\nRand error: the adapted one; precision, recall: of pairs of voxels;\n"
         "F1: of objects, found at an overlap above 0.5 or 0.75\n";
}

std::string evaluation_json(const LabelEvaluation& evaluation) {
  Json json = json_of(evaluation.request, EvaluationKind::labels, evaluation.sections, evaluation.bounds);
  json["warnings"] = evaluation.doubts();
  json["objects_of_classes"] = evaluation.request.objects_of_classes;
  if (evaluation.has_volume()) json["volume_3d"] = json_of_labels(evaluation.volume);
  json["volume_2d"] = json_of_labels(evaluation.pooled);
  if (!evaluation.thinned.empty()) {
    const ThinnedScores thin = thinned_scores(evaluation.thinned);
    json["volume_2d"]["rand_thin_f_macro"] = thin.rand_f_macro;
    json["volume_2d"]["info_thin_f_macro"] = thin.info_f_macro;
  }
  if (evaluation.has_volume())
    json["worst_objects"] = {{"split", json_of_objects(evaluation.worst.split)},
                             {"merged", json_of_objects(evaluation.worst.merged)}};
  json["worst_sections"] = Json::array();
  const std::vector<std::int64_t> worst = evaluation.from_worst();
  for (std::size_t i = 0; i < worst_count(worst.size()); ++i) {
    const LabelScores scores = scores_of(evaluation.section[static_cast<std::size_t>(worst[i])]);
    json["worst_sections"].push_back(
        {{"section", evaluation.sections.begin + worst[i]}, {"voi", scores.voi}});
  }
  json["sections"] = Json::array();
  for (std::size_t z = 0; z < evaluation.section.size(); ++z) {
    Json row{{"section", evaluation.sections.begin + static_cast<std::int64_t>(z)}};
    row.update(json_of_labels(evaluation.section[z]));
    if (!evaluation.thinned.empty() && evaluation.thinned[z].interior > 0) {
      row["rand_thin_f"] = scores_of(evaluation.thinned[z].rand).f;
      row["info_thin_f"] = scores_of(evaluation.thinned[z].info).f;
    }
    json["sections"].push_back(row);
  }
  json["run"] = json_of(evaluation.run);
  json["run"]["table_pairs"] = evaluation.table_pairs;
  return json_text(json, 2) + "\n";
}

std::string ClassEvaluation::missing() const {
  const std::vector<ClassScores> classes = scores_of(matrix).classes;
  const auto present = std::ranges::count_if(classes, [](const ClassScores& one) { return one.truth > 0; });
  return present > 1 ? "" : present == 1 ? "one class only in the labels" : "no annotated voxel";
}

std::string evaluation_text(const ClassEvaluation& evaluation) {
  std::string text =
      head_text(evaluation.request, EvaluationKind::classes, evaluation.sections, evaluation.bounds);
  const ConfusionScores scores = scores_of(evaluation.matrix);
  text += "class       IoU      Dice  precision    recall          true     predicted\n";
  for (std::size_t c = 0; c < scores.classes.size(); ++c) {
    const ClassScores& s = scores.classes[c];
    text +=
        fmt::format("{:5}{}{}{}{}  {:12}  {:12}\n", c, score_text(s.iou, 6, 10), score_text(s.dice, 6, 10),
                    score_text(s.precision, 6, 11), score_text(s.recall, 6, 10), s.truth, s.predicted);
  }
  const std::string missing = evaluation.missing();
  if (missing.empty()) {
    text += fmt::format("\naccuracy {}, mean IoU {}, mean Dice {}\n\n", score_text(scores.accuracy, 6),
                        score_text(scores.mean_iou, 6), score_text(scores.mean_dice, 6));
  } else {
    text += fmt::format("\naccuracy, mean IoU and mean Dice {}\n\n", undefined_or(kUndefined, 6, missing));
  }
  text += "true class, by what it was called\n";
  std::vector<std::string> called{"class"};
  for (std::int64_t predicted = 0; predicted < evaluation.matrix.classes; ++predicted)
    called.push_back(fmt::format("{}", predicted));
  TextTable confusion(called);
  for (std::int64_t truth = 0; truth < evaluation.matrix.classes; ++truth) {
    std::vector<std::string> cells{fmt::format("{}", truth)};
    for (std::int64_t predicted = 0; predicted < evaluation.matrix.classes; ++predicted)
      cells.push_back(fmt::format("{}", evaluation.matrix.at(truth, predicted)));
    confusion.add(cells);
  }
  text += confusion.text() + "\nsection  accuracy  mean IoU\n";
  const std::vector<std::int64_t> worst = evaluation.from_worst();
  for (std::size_t z = 0; z < evaluation.section.size(); ++z) {
    const ConfusionScores s = scores_of(evaluation.section[z]);
    text += fmt::format("{:7}{}{}{}\n", evaluation.sections.begin + static_cast<std::int64_t>(z),
                        score_text(s.accuracy, 6, 10), score_text(s.mean_iou, 6, 10),
                        is_among_worst(worst, z) ? "  <- worst" : "");
  }
  return text;
}

std::string evaluation_json(const ClassEvaluation& evaluation) {
  Json json = json_of(evaluation.request, EvaluationKind::classes, evaluation.sections, evaluation.bounds);
  const ConfusionScores scores = scores_of(evaluation.matrix);
  const std::string missing = evaluation.missing();
  json["undefined"] = missing.empty() ? Json() : Json(missing);
  json["warnings"] = evaluation.doubts();
  json["accuracy"] = missing.empty() ? scores.accuracy : kUndefined;
  json["mean_iou"] = missing.empty() ? scores.mean_iou : kUndefined;
  json["mean_dice"] = missing.empty() ? scores.mean_dice : kUndefined;
  json["classes"] = Json::array();
  for (std::size_t c = 0; c < scores.classes.size(); ++c) {
    Json row{{"class", c}};
    row.update(json_of(scores.classes[c]));
    json["classes"].push_back(row);
  }
  json["confusion"] = json_of(evaluation.matrix);
  json["worst_sections"] = Json::array();
  const std::vector<std::int64_t> worst = evaluation.from_worst();
  for (std::size_t i = 0; i < worst_count(worst.size()); ++i) {
    const ConfusionScores one = scores_of(evaluation.section[static_cast<std::size_t>(worst[i])]);
    json["worst_sections"].push_back(
        {{"section", evaluation.sections.begin + worst[i]}, {"mean_iou", one.mean_iou}});
  }
  json["sections"] = Json::array();
  for (std::size_t z = 0; z < evaluation.section.size(); ++z) {
    const ConfusionScores one = scores_of(evaluation.section[z]);
    Json iou = Json::array(), dice = Json::array();
    for (const ClassScores& c : one.classes) {
      iou.push_back(c.iou);
      dice.push_back(c.dice);
    }
    json["sections"].push_back({{"section", evaluation.sections.begin + static_cast<std::int64_t>(z)},
                                {"accuracy", one.accuracy},
                                {"mean_iou", one.mean_iou},
                                {"iou", iou},
                                {"dice", dice}});
  }
  json["run"] = json_of(evaluation.run);
  return json_text(json, 2) + "\n";
}

}  // namespace tessera
