#include "pipeline/evaluate/evaluation_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <type_traits>

#include "io/images/png.h"
#include "io/stores/open_volume.h"
#include "pipeline/evaluate/evaluation_json.h"
#include "pipeline/run/overlay.h"
#include "pipeline/run/score_text.h"
#include "pipeline/run/text_table.h"

namespace tessera {
namespace {

/// The numbers of one threshold as flat keys, without the groups that were not chosen.
Json json_of(const ThresholdSums& sums, const EvaluationScores& chosen, double threshold, bool warped) {
  const ThresholdScores scores = scores_of(sums);
  const auto whole = [](double value) { return static_cast<std::int64_t>(value); };
  Json json{{"threshold", threshold},
            {"pixel_error", scores.pixel_error},
            {"precision", scores.precision},
            {"recall", scores.recall},
            {"f", scores.f},
            {"iou", scores.iou},
            {"membrane_f", scores.membrane_f},
            {"membrane_iou", scores.membrane_iou},
            {"true_positive", whole(sums.true_positive)},
            {"false_positive", whole(sums.false_positive)},
            {"false_negative", whole(sums.false_negative)},
            {"true_negative", whole(sums.true_negative)}};
  const auto add = [&](const std::string& name, const PartitionScores& partition) {
    json[name + "_precision"] = partition.precision;
    json[name + "_recall"] = partition.recall;
    json[name + "_f"] = partition.f;
  };
  if (chosen.section.rand) {
    add("rand", scores.rand);
    add("info", scores.info);
    add("rand_all", scores.rand_all);
    json["rand_index_error"] = scores.rand_index_error;
  }
  if (chosen.section.thin) {
    add("rand_thin", scores.rand_thin);
    add("info_thin", scores.info_thin);
  }
  if (chosen.section.warping && warped) {
    const WarpingSums& w = sums.warping;
    json.update({{"warping_error", scores.warping_error},
                 {"warping_split_merge", scores.warping_split_merge},
                 {"warping_mismatches", whole(w.mismatches)},
                 {"warping_split_pixels", whole(w.split_pixels)},
                 {"warping_merge_pixels", whole(w.merge_pixels)},
                 {"warping_splits", whole(w.splits)},
                 {"warping_merges", whole(w.merges)},
                 {"warping_hole_additions", whole(w.hole_additions)},
                 {"warping_hole_deletions", whole(w.hole_deletions)},
                 {"warping_object_additions", whole(w.object_additions)},
                 {"warping_object_deletions", whole(w.object_deletions)}});
  }
  if (chosen.section.objects) json.update(json_of(sums.objects));
  return json;
}

/// A score and the threshold where it is best.
struct BestScore {
  const char* key;
  const char* name;
  bool chosen;
  double (*score)(const VolumeScores&);
  std::size_t BestThresholds::*at;
};

std::vector<BestScore> best_scores(const EvaluationScores& chosen) {
  using V = const VolumeScores&;
  using B = BestThresholds;
  const ScoreChoice& c = chosen.section;
  std::vector<BestScore> all{
      {"pixel_error", "least pixel error", true, [](V v) { return v.pooled.pixel_error; }, &B::pixel_error},
      {"iou", "best IoU", true, [](V v) { return v.pooled.iou; }, &B::iou},
      {"f", "best F", true, [](V v) { return v.pooled.f; }, &B::f},
      {"one_minus_f", "ISBI pixel error, 1 - F", true, [](V v) { return 1 - v.pooled.f; }, &B::f},
      {"rand_f_micro", "best Rand fg micro", c.rand, [](V v) { return v.pooled.rand.f; }, &B::rand_f_micro},
      {"rand_f_macro", "best Rand fg macro", c.rand, [](V v) { return v.rand_f_macro; }, &B::rand_f_macro},
      {"rand_all_error", "ISBI Rand error, all pixels", c.rand, [](V v) { return 1 - v.pooled.rand_all.f; },
       &B::rand_all},
      {"rand_thin_f_macro", "V^Rand_thin", c.thin, [](V v) { return v.rand_thin_f_macro; }, &B::rand_thin},
      {"info_thin_f_macro", "V^Info_thin", c.thin, [](V v) { return v.info_thin_f_macro; }, &B::info_thin},
      {"warping_error", "least warping error", c.warping, [](V v) { return v.pooled.warping_error; },
       &B::warping_error},
      {"warping_split_merge", "ISBI warping, split + merge", c.warping,
       [](V v) { return v.pooled.warping_split_merge; }, &B::warping_split_merge},
      {"seg", "best SEG, 2-D components", c.objects, [](V v) { return v.pooled.objects.seg; }, &B::seg},
      {"object_f1_50", "best object F1 at 0.5", c.objects, [](V v) { return v.pooled.objects.f1[0]; },
       &B::f1}};
  std::erase_if(all, [](const BestScore& one) { return !one.chosen; });
  return all;
}

/// The precision-recall curve at about 256 thresholds, average precision, reliability table.
void add_calibration(Json& json, const Evaluation& evaluation) {
  Json curve = Json::array(), table = Json::array();
  const auto points = precision_recall_curve(evaluation.histogram);
  for (std::size_t level = 0; level < points.size(); level += points.size() / 256) {
    const PrecisionRecallPoint& p = points[level];
    curve.push_back(
        {{"threshold", p.threshold}, {"precision", p.precision}, {"recall", p.recall}, {"f", p.f}});
  }
  CalibrationSums sums;
  for (const CalibrationSums& section : evaluation.calibration)
    sums += section;
  for (int i = 0; i < kReliabilityBins; ++i) {
    const ReliabilityBin& bin = sums.bins[static_cast<std::size_t>(i)];
    const auto mean = [&](double sum) { return bin.pixels == 0 ? Json() : Json(sum / bin.pixels); };
    table.push_back({{"from", i / static_cast<double>(kReliabilityBins)},
                     {"to", (i + 1) / static_cast<double>(kReliabilityBins)},
                     {"pixels", static_cast<std::int64_t>(bin.pixels)},
                     {"mean_probability", mean(bin.probability)},
                     {"interior_share", mean(bin.interior)}});
  }
  const CalibrationScores scores = scores_of(sums);
  json["average_precision"] =
      evaluation.missing().empty() ? average_precision(evaluation.histogram) : kUndefined;
  json["precision_recall"] = curve;
  json["calibration"] = {{"expected_error", scores.expected_error},
                         {"largest_error", scores.largest_error},
                         {"brier", scores.brier},
                         {"bins", table}};
}

/// The probabilities of a section as double.
std::vector<double> probabilities(const VoxelBuffer& section) {
  std::vector<double> values;
  with_voxel_type(section.type, [&](auto zero) {
    using T = decltype(zero);
    constexpr double kScale =
        std::is_floating_point_v<T> ? 1.0 : static_cast<double>(std::numeric_limits<T>::max());
    for (const T value : section.as<T>())
      values.push_back(static_cast<double>(value) / kScale);
  });
  return values;
}

std::vector<float> grey_values(const VoxelBuffer& section) {
  std::vector<float> values;
  with_voxel_type(section.type, [&](auto zero) {
    for (const auto value : section.as<decltype(zero)>())
      values.push_back(static_cast<float>(value));
  });
  return values;
}

/// "1048576 pixels: membrane 24.1 %, interior 75.9 %".
std::string classes_text(const ThresholdSums& sums) {
  const double interior = sums.true_positive + sums.false_negative, all = sums.pixels();
  return fmt::format("{:.0f} pixels: membrane {:.3g} %, interior {:.3g} %", all,
                     100 * (all - interior) / std::max(1.0, all), 100 * interior / std::max(1.0, all));
}

/// The thresholds that the table on the terminal shows: about 11 at equal distances, and those of best
/// scores.
std::vector<std::size_t> shown_thresholds(const Evaluation& evaluation) {
  constexpr std::size_t kRows = 11;
  const std::size_t count = evaluation.table.thresholds.size(), step = (count + kRows - 2) / (kRows - 1);
  std::set<std::size_t> shown{count - 1};
  for (std::size_t t = 0; t < count; t += std::max<std::size_t>(1, count <= 2 * kRows ? 1 : step))
    shown.insert(t);
  for (const BestScore& one : best_scores(evaluation.scores))
    shown.insert(evaluation.best.*one.at);
  return {shown.begin(), shown.end()};
}

std::string truth_text(const Evaluation& evaluation) {
  return fmt::format("truth       {}\n", classes_text(evaluation.pooled(0)));
}

}  // namespace

std::vector<std::string> Evaluation::doubts() const {
  constexpr double kRare = 1e-3;
  const ThresholdSums first = pooled(0);
  const double interior = first.true_positive + first.false_negative, all = first.pixels();
  std::vector<std::string> doubts = doubts_about(request, sections, bounds);
  if (all > 0 && std::min(interior, all - interior) < kRare * all) {
    doubts.push_back(fmt::format(
        "the labels {} have {} in {}: look at data.label_kind, data.invert_labels, data.ignore_label and the "
        "labels",
        request.labels.text(),
        interior == 0     ? "no interior"
        : interior == all ? "no membrane"
                          : "hardly any of a class",
        classes_text(first)));
  }
  const auto middle = static_cast<std::size_t>(std::ranges::lower_bound(table.thresholds, 0.5 - 1e-9) -
                                               table.thresholds.begin());
  const double found = correlation(pooled(std::min(middle, table.thresholds.size() - 1)));
  if (found < kInvertedCorrelation) {
    doubts.push_back(fmt::format(
        "the prediction anticorrelates with the labels (correlation {:.2f} at threshold 0.5): the labels "
        "are probably inverted; see data.invert_labels, or --invert-labels of evaluate",
        found));
  }
  return doubts;
}

ThresholdSums Evaluation::pooled(std::size_t threshold) const {
  ThresholdSums sums;
  for (std::int64_t z = 0; z < table.sections; ++z)
    sums += table.section(z)[threshold];
  return sums;
}

std::string evaluation_text(const Evaluation& evaluation) {
  const ThresholdTable& table = evaluation.table;
  const ScoreChoice& chosen = evaluation.scores.section;
  std::string text =
      head_text(evaluation.request, EvaluationKind::probability, evaluation.sections, evaluation.bounds);
  text += truth_text(evaluation) + "\n";
  std::vector<std::string> columns{"threshold", "pixel error", "IoU", "F"};
  const auto add_columns = [&](bool wanted, std::initializer_list<const char*> names) {
    if (wanted) columns.insert(columns.end(), names.begin(), names.end());
  };
  add_columns(chosen.rand, {"Rand fg micro", "Rand fg macro", "Rand error all"});
  add_columns(chosen.thin, {"V^Rand_thin", "V^Info_thin"});
  add_columns(chosen.warping, {"warping", "split+merge"});
  add_columns(chosen.objects, {"SEG"});
  TextTable thresholds(columns);
  const std::string missing = evaluation.missing();
  const std::vector<std::size_t> shown = shown_thresholds(evaluation);
  for (const std::size_t t : shown) {
    const VolumeScores s = missing.empty() ? evaluation.volume[t] : VolumeScores();
    std::vector<std::string> cells{fmt::format("{:.4f}", table.thresholds[t])};
    const auto add = [&](bool wanted, std::initializer_list<double> values) {
      for (const double value : values) {
        if (wanted) cells.push_back(score_text(value, 6));
      }
    };
    add(true, {s.pooled.pixel_error, s.pooled.iou, s.pooled.f});
    add(chosen.rand, {s.pooled.rand.f, s.rand_f_macro, 1 - s.pooled.rand_all.f});
    add(chosen.thin, {s.rand_thin_f_macro, s.info_thin_f_macro});
    if (chosen.warping && t + 1 == table.thresholds.size())
      cells.insert(cells.end(), {"-", "-"});
    else
      add(chosen.warping, {s.pooled.warping_error, s.pooled.warping_split_merge});
    add(chosen.objects, {s.pooled.objects.seg});
    thresholds.add(cells);
  }
  text += thresholds.text();
  if (shown.size() < table.thresholds.size())
    text += fmt::format("({} of {} thresholds: all are in the JSON file)\n", shown.size(),
                        table.thresholds.size());
  text += "\n";
  for (const BestScore& one : best_scores(evaluation.scores)) {
    const std::size_t t = evaluation.best.*one.at;
    const double value = missing.empty() ? one.score(evaluation.volume[t]) : kUndefined;
    text += fmt::format("{:<28}{}{}\n", one.name, undefined_or(value, 6, missing),
                        std::isnan(value) ? "" : fmt::format(" at {:.4f}", table.thresholds[t]));
  }
  if (evaluation.scores.calibration) {
    CalibrationSums sums;
    for (const CalibrationSums& section : evaluation.calibration)
      sums += section;
    const double precision = missing.empty() ? average_precision(evaluation.histogram) : kUndefined;
    text += fmt::format("{:<28}{}\n{:<28}{}\n", "average precision", undefined_or(precision, 6, missing),
                        "expected calibration error", score_text(scores_of(sums).expected_error, 6));
  }

  text += "\nsection  threshold  pixel error       IoU         F";
  if (chosen.rand) text += "   Rand fg  (best Rand fg, at)";
  text += "\n";
  std::vector<std::int64_t> worst = evaluation.from_worst();
  worst.resize(worst_count(worst.size()));
  for (std::int64_t z = 0; z < table.sections; ++z) {
    const std::size_t t = evaluation.best_f(z), rand = evaluation.best_rand(z);
    const bool judged = evaluation.is_judged(z);
    const ThresholdScores s = judged ? scores_of(table.section(z)[t]) : ThresholdScores();
    text += fmt::format("{:7}  {:9.4f}", evaluation.sections.begin + z, table.thresholds[t]) +
            score_text(s.pixel_error, 6, 13) + score_text(s.iou, 6, 10) + score_text(s.f, 6, 10);
    if (chosen.rand) {
      text += fmt::format("{}  ({}, {:.4f})", score_text(s.rand.f, 6, 10),
                          score_text(judged ? scores_of(table.section(z)[rand]).rand.f : kUndefined, 6),
                          table.thresholds[rand]);
    }
    text += std::find(worst.begin(), worst.end(), z) != worst.end() ? "  <- worst\n" : "\n";
  }
  return text;
}

std::string evaluation_json(const Evaluation& evaluation) {
  const ThresholdTable& table = evaluation.table;
  const std::size_t last = table.thresholds.size() - 1;
  Json json =
      json_of(evaluation.request, EvaluationKind::probability, evaluation.sections, evaluation.bounds);
  json["scores"] = evaluation.scores.names();
  json["thresholds"] = table.thresholds;
  const std::string missing = evaluation.missing();
  json["undefined"] = missing.empty() ? Json() : Json(missing);
  json["warnings"] = evaluation.doubts();
  json["best"] = Json::object();
  for (const BestScore& one : best_scores(evaluation.scores)) {
    const std::size_t t = evaluation.best.*one.at;
    const double value = missing.empty() ? one.score(evaluation.volume[t]) : kUndefined;
    json["best"][one.key] = {{"value", value},
                             {"threshold", std::isnan(value) ? Json() : Json(table.thresholds[t])}};
  }
  json["volume"] = Json::array();
  for (std::size_t t = 0; t <= last; ++t) {
    const ThresholdSums pooled = evaluation.pooled(t);
    Json row = json_of(pooled, evaluation.scores, table.thresholds[t], t < last);
    const VolumeScores& s = evaluation.volume[t];
    if (evaluation.scores.section.rand)
      row.update({{"rand_f_macro", s.rand_f_macro}, {"info_f_macro", s.info_f_macro}});
    if (evaluation.scores.section.thin) {
      row.update({{"rand_thin_f_macro", s.rand_thin_f_macro}, {"info_thin_f_macro", s.info_thin_f_macro}});
    }
    json["volume"].push_back(row);
    if (t != evaluation.best.f) continue;
    ConfusionMatrix confusion(2);
    for (const auto& [truth, predicted, pixels] : {std::tuple(0, 0, pooled.true_negative),
                                                   {0, 1, pooled.false_positive},
                                                   {1, 0, pooled.false_negative},
                                                   {1, 1, pooled.true_positive}}) {
      confusion.add(truth, predicted, static_cast<std::int64_t>(pixels));
    }
    json["confusion"] = {{"threshold", table.thresholds[t]},
                         {"classes", {"membrane", "interior"}},
                         {"pixels", json_of(confusion)}};
  }
  if (evaluation.scores.calibration) add_calibration(json, evaluation);
  json["worst_sections"] = Json::array();
  const std::vector<std::int64_t> from_worst = evaluation.from_worst();
  for (std::size_t i = 0; i < worst_count(from_worst.size()); ++i) {
    const std::int64_t z = from_worst[i];
    const std::size_t t = evaluation.best_f(z);
    json["worst_sections"].push_back({{"section", evaluation.sections.begin + z},
                                      {"f", scores_of(table.section(z)[t]).f},
                                      {"threshold", table.thresholds[t]}});
  }
  json["sections"] = Json::array();
  for (std::int64_t z = 0; z < table.sections; ++z) {
    const std::size_t f = evaluation.best_f(z), rand = evaluation.best_rand(z);
    const bool judged = evaluation.is_judged(z);
    Json section{{"section", evaluation.sections.begin + z},
                 {"best_f", judged ? scores_of(table.section(z)[f]).f : kUndefined},
                 {"best_f_threshold", table.thresholds[f]}};
    if (evaluation.scores.section.rand) {
      section.update({{"best_rand_f", judged ? scores_of(table.section(z)[rand]).rand.f : kUndefined},
                      {"best_rand_threshold", table.thresholds[rand]}});
    }
    if (evaluation.scores.calibration) {
      const CalibrationScores scores = scores_of(evaluation.calibration[static_cast<std::size_t>(z)]);
      section.update({{"calibration_error", scores.expected_error}, {"brier", scores.brier}});
    }
    Json rows = Json::array();
    for (std::size_t t = 0; t <= last; ++t) {
      rows.push_back(json_of(table.section(z)[t], evaluation.scores, table.thresholds[t], t < last));
    }
    section["scores"] = rows;
    json["sections"].push_back(section);
  }
  json["run"] = json_of(evaluation.run);
  return json_text(json, 2) + "\n";
}

void write_pictures(const Evaluation& evaluation, EvaluatedVolumes& volumes, Volume* raw,
                    const std::filesystem::path& folder) {
  const std::vector<std::int64_t> order = evaluation.from_worst();
  std::map<std::int64_t, std::string> roles;
  roles[0] += "_first";
  if (!order.empty()) {
    roles[order.front()] += "_worst";
    roles[order.back()] += "_best";
  }
  for (const auto& [section, role] : roles) {
    const std::int64_t z = evaluation.sections.begin + section;
    const RgbImage picture = side_by_side(panels_of_section(
        z, evaluation.request, volumes, raw, evaluation.table.thresholds[evaluation.best_f(section)]));
    write_png(folder / fmt::format("section_{:04}{}.png", z, role), picture.height, picture.width, 3,
              std::span<const std::uint8_t>(picture.pixels));
  }
}

SectionLayers layers_of_section(std::int64_t section, const EvaluationRequest& request,
                                EvaluatedVolumes& volumes, Volume* raw) {
  const PixelBounds& bounds = volumes.bounds;
  const Box box{{section, bounds.y_begin, bounds.x_begin}, {section + 1, bounds.y_end, bounds.x_end}};
  const VoxelBuffer probability = volumes.prediction->read(box);
  return {box.shape().y,
          box.shape().x,
          grey_values(raw != nullptr ? raw->read(box) : probability),
          raw != nullptr,
          label_classes(volumes.labels->read(box), box, request.label_options(), request.labels),
          probabilities(probability)};
}

std::array<RgbImage, 3> panels_of_section(std::int64_t section, const EvaluationRequest& request,
                                          EvaluatedVolumes& volumes, Volume* raw, double threshold) {
  const SectionLayers layers = layers_of_section(section, request, volumes, raw);
  return section_panels(layers.raw, layers.truth, layers.probability, threshold, layers.height, layers.width);
}

}  // namespace tessera
