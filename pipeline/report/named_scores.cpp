#include "pipeline/report/named_scores.h"

#include <cmath>

#include <fmt/format.h>

#include "pipeline/report/json_reading.h"

namespace tessera {
namespace {

struct ScoreDescription {
  const char* key;
  const char* name;
  const char* hint;
  Better better;
  bool headline;
};

constexpr ScoreDescription kOfProbability[] = {
    {"pixel_error", "Pixel error", "share of pixels on the wrong side of the threshold", Better::lower, true},
    {"f", "F of the interior", "harmonic mean of precision and recall of interior pixels", Better::higher,
     true},
    {"one_minus_f", "ISBI pixel error, 1 \u2212 F", "the challenge's pixel error", Better::lower, false},
    {"iou", "IoU of the interior", "intersection over union of interior pixels", Better::higher, false},
    {"rand_thin_f_macro", "V^Rand_thin",
     "the challenge's Rand score, borders thinned, mean over the sections", Better::higher, true},
    {"info_thin_f_macro", "V^Info_thin",
     "the challenge's information score, borders thinned, mean over the sections", Better::higher, true},
    {"rand_f_macro", "Rand F, mean over sections", "pairs of interior pixels in one object, by section",
     Better::higher, false},
    {"rand_f_micro", "Rand F, pooled", "pairs of interior pixels in one object, all sections together",
     Better::higher, false},
    {"rand_all_error", "ISBI Rand error, all pixels", "1 \u2212 F over pairs of all pixels", Better::lower,
     false},
    {"warping_error", "Warping error", "share of pixels that no warping of the truth explains", Better::lower,
     true},
    {"warping_split_merge", "ISBI warping, split + merge", "share of pixels in splits and mergers",
     Better::lower, false},
    {"seg", "SEG, 2-D components", "mean Jaccard index of true objects with their match", Better::higher,
     false},
    {"object_f1_50", "Object F1 at IoU 0.5", "of 2-D components found", Better::higher, false}};

constexpr ScoreDescription kOfLabels[] = {
    {"voi", "VOI", "variation of information, split + merge, in bits", Better::lower, true},
    {"voi_split", "VOI split", "H(prediction | truth), in bits", Better::lower, true},
    {"voi_merge", "VOI merge", "H(truth | prediction), in bits", Better::lower, true},
    {"adapted_rand_error", "Adapted Rand error", "1 \u2212 F over pairs of voxels of one object",
     Better::lower, true},
    {"rand_precision", "Rand precision", "falls with mergers", Better::higher, false},
    {"rand_recall", "Rand recall", "falls with splits", Better::higher, false},
    {"seg", "SEG", "mean Jaccard index of true objects with their match", Better::higher, true},
    {"rand_thin_f_macro", "V^Rand_thin", "mean over sections, of the objects grown over the borders",
     Better::higher, true},
    {"info_thin_f_macro", "V^Info_thin", "mean over sections, of the objects grown over the borders",
     Better::higher, true}};

void add(std::vector<NamedScore>& scores, const ScoreDescription& score, double value, const std::string& key,
         const std::string& suffix, bool headline,
         double threshold = std::numeric_limits<double>::quiet_NaN()) {
  if (!std::isfinite(value)) return;
  scores.push_back({key, score.name + suffix, score.hint, score.better, value, threshold, headline});
}

}  // namespace

std::vector<NamedScore> scores_in(const Json& evaluation) {
  std::vector<NamedScore> scores;
  for (const ScoreDescription& one : kOfProbability) {
    add(scores, one, number_at(evaluation, {"best", one.key, "value"}), one.key, "", one.headline,
        number_at(evaluation, {"best", one.key, "threshold"}));
  }
  add(scores, {"", "Average precision", "area under the precision-recall curve", Better::higher, false},
      number_at(evaluation, {"average_precision"}), "average_precision", "", false);
  add(scores,
      {"", "Calibration error", "expected difference of probability and share of interior", Better::lower,
       false},
      number_at(evaluation, {"calibration", "expected_error"}), "expected_error", "", false);
  add(scores, {"", "Brier score", "mean squared error of the probability", Better::lower, false},
      number_at(evaluation, {"calibration", "brier"}), "brier", "", false);
  for (const char* volume : {"volume_3d", "volume_2d"}) {
    const bool whole = volume[7] == '3';
    const bool leads = whole || json_at(evaluation, {"volume_3d"}).is_null();  // objects of classes
    for (const ScoreDescription& one : kOfLabels) {
      add(scores, one, number_at(evaluation, {volume, one.key}), fmt::format("{}.{}", volume, one.key),
          whole ? ", 3-D" : ", 2-D", one.headline && leads);
    }
    const Json& f1 = list_at(evaluation, {volume, "object_f1"});
    if (!f1.empty() && f1[0].is_number()) {
      add(scores, {"", "Object F1 at IoU 0.5", "of objects found", Better::higher, false},
          f1[0].get<double>(), fmt::format("{}.object_f1_50", volume), whole ? ", 3-D" : ", 2-D", false);
    }
  }
  add(scores, {"", "Accuracy", "share of voxels with the right class", Better::higher, true},
      number_at(evaluation, {"accuracy"}), "accuracy", "", true);
  add(scores, {"", "Mean IoU", "over the classes that occur", Better::higher, true},
      number_at(evaluation, {"mean_iou"}), "mean_iou", "", true);
  add(scores, {"", "Mean Dice", "over the classes that occur", Better::higher, true},
      number_at(evaluation, {"mean_dice"}), "mean_dice", "", true);
  for (const Json& one : list_at(evaluation, {"classes"})) {
    if (!one.is_object()) continue;
    add(scores, {"", "IoU of class", "intersection over union", Better::higher, false},
        number_at(one, {"iou"}), fmt::format("class.{:.0f}", number_at(one, {"class"})),
        fmt::format(" {:.0f}", number_at(one, {"class"})), false);
  }
  return scores;
}

Html score_name(const std::string& name) {
  const std::size_t high = name.find('^'), low = name.find('_', high);
  if (high == std::string::npos || low == std::string::npos) return text(name);
  const std::size_t end = std::min(name.find_first_of(" ,", low), name.size());
  const Html pair = tag("sup", "", text(name.substr(high + 1, low - high - 1))) +
                    tag("sub", "", text(name.substr(low + 1, end - low - 1)));
  return text(name.substr(0, high)) + tag("span", "pair", pair) + text(name.substr(end));
}

SectionScore section_score(const Json& evaluation) {
  const auto kind = value_named<EvaluationKind>(text_at(evaluation, {"kind"}));
  if (kind == EvaluationKind::labels) return {"voi", "VOI, bits", Better::lower};
  if (kind == EvaluationKind::classes) return {"mean_iou", "mean IoU", Better::higher};
  return {"best_f", "best F", Better::higher};
}

}  // namespace tessera
