#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pipeline/report/curves.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/named_scores.h"
#include "pipeline/report/page.h"
#include "pipeline/report/recommended_threshold.h"
#include "pipeline/report/report_parts.h"

namespace tessera {
namespace {

constexpr std::size_t kMostShown = 24;

PlotAxis axis(const std::string& label) {
  return {.label = label, .min = {}, .max = {}};
}

Html table_of_scores(const std::vector<NamedScore>& scores) {
  const bool thresholds =
      std::any_of(scores.begin(), scores.end(), [](const auto& s) { return std::isfinite(s.threshold); });
  std::vector<HtmlTable::Column> columns{{"score", false}, {"value"}};
  if (thresholds) columns.push_back({"at threshold"});
  columns.push_back({"", false});
  HtmlTable table(columns);
  for (const NamedScore& one : scores) {
    std::vector<Cell> cells{{score_name(one.name), {}, {}}, Cell::number(one.value, 4)};
    if (thresholds)
      cells.push_back(std::isfinite(one.threshold) ? Cell::number(one.threshold, 2) : Cell::plain(""));
    cells.push_back(
        {tag("span", "aside", text(one.hint + (one.better == Better::lower ? "; lower is better" : ""))),
         {},
         {}});
    table.add(cells, one.headline ? "headline" : "");
  }
  return table.html();
}

struct ColumnHeading {
  const char* key;
  const char* heading;
};

/// The rows of "volume", a threshold each, with the columns that are there.
Html threshold_table(const Json& evaluation) {
  constexpr ColumnHeading kColumns[] = {{"pixel_error", "pixel error"},
                                        {"precision", "precision"},
                                        {"recall", "recall"},
                                        {"f", "F"},
                                        {"iou", "IoU"},
                                        {"rand_f_macro", "Rand F"},
                                        {"rand_thin_f_macro", "Rand thin"},
                                        {"info_thin_f_macro", "Info thin"},
                                        {"warping_error", "warping"},
                                        {"warping_split_merge", "split + merge"},
                                        {"seg", "SEG"}};
  if (!text_at(evaluation, {"undefined"}).empty()) return {};
  const Json& rows = list_at(evaluation, {"volume"});
  std::vector<const ColumnHeading*> used;
  std::vector<HtmlTable::Column> columns{{"threshold"}};
  for (const ColumnHeading& one : kColumns) {
    if (std::none_of(rows.begin(), rows.end(),
                     [&](const Json& row) { return std::isfinite(number_at(row, {one.key})); }))
      continue;
    used.push_back(&one);
    columns.push_back({one.heading});
  }
  if (used.empty()) return {};
  HtmlTable table(columns);
  const double best = number_at(evaluation, {"best", "f", "threshold"});
  for (const Json& row : rows) {
    const double threshold = number_at(row, {"threshold"});
    std::vector<Cell> cells{Cell::number(threshold, 2)};
    for (const ColumnHeading* one : used)
      cells.push_back(Cell::number(number_at(row, {one->key}), 4));
    table.add(cells, threshold == best ? "marked" : "");
  }
  return element("h3", {}, text("At each threshold")) + table.html() +
         note(
             "All sections together; the row with the best F is marked. Rand F, Rand thin and Info thin are "
             "means over "
             "the sections.");
}

Html probability_part(const Json& evaluation) {
  Plot similarity{.title = "Scores over the threshold: higher is better",
                  .x = share_axis("threshold of the probability"),
                  .y = share_axis("score"),
                  .series = {},
                  .rules = {}};
  similarity.series = {threshold_curve(evaluation, "f", "F", 1),
                       threshold_curve(evaluation, "iou", "IoU", 6),
                       threshold_curve(evaluation, "rand_f_macro", "Rand F", 2),
                       threshold_curve(evaluation, "rand_thin_f_macro", "Rand thin", 3),
                       threshold_curve(evaluation, "info_thin_f_macro", "Info thin", 4),
                       threshold_curve(evaluation, "seg", "SEG", 5)};
  Plot errors{.title = "Errors over the threshold: lower is better",
              .x = share_axis("threshold of the probability"),
              .y = {.label = "share of pixels, logarithmic", .min = {}, .max = {}, .logarithmic = true},
              .series = {},
              .rules = {}};
  errors.series = {threshold_curve(evaluation, "pixel_error", "pixel error", 1),
                   threshold_curve(evaluation, "warping_error", "warping", 2),
                   threshold_curve(evaluation, "warping_split_merge", "split + merge", 3)};
  std::vector<Html> plots{figure_of(similarity), figure_of(errors)};

  const PlotSeries curve = precision_recall_curve_of(evaluation, "", 1);
  if (!curve.points.empty()) {
    Plot plot{.title = "Precision and recall",
              .x = share_axis("recall of interior pixels"),
              .y = {.label = "precision", .min = {}, .max = 1},
              .series = {curve},
              .rules = {}};
    const double best = number_at(evaluation, {"best", "f", "threshold"});
    for (const Json& row : list_at(evaluation, {"volume"})) {
      if (number_at(row, {"threshold"}) != best) continue;
      plot.series.push_back({fmt::format("best F, at {:.2f}", best),
                             {{number_at(row, {"recall"}), number_at(row, {"precision"}), 3}},
                             PlotSeries::Style::dotted_line,
                             2});
    }
    plots.push_back(figure_of(
        plot,
        fmt::format("Average precision {}.", number_text(number_at(evaluation, {"average_precision"}), 4))));
  }
  const PlotSeries reliability = reliability_curve(evaluation, "network", 1);
  if (!reliability.points.empty()) {
    const Plot plot{.title = "Reliability: is a probability of 0.8 right in 80 %?",
                    .x = share_axis("predicted probability"),
                    .y = share_axis("share that is interior"),
                    .series = {diagonal(), reliability},
                    .rules = {}};
    plots.push_back(figure_of(
        plot,
        fmt::format("Dots: ten bins, their area grows with their pixels. Expected calibration error {}, "
                    "largest {}, Brier score {}.",
                    number_text(number_at(evaluation, {"calibration", "expected_error"}), 4),
                    number_text(number_at(evaluation, {"calibration", "largest_error"}), 4),
                    number_text(number_at(evaluation, {"calibration", "brier"}), 4))));
  }
  Html content = figures(plots);
  const Json& confusion = json_at(evaluation, {"confusion", "pixels"});
  if (confusion.is_array()) {
    std::vector<std::string> classes;
    for (const Json& name : list_at(evaluation, {"confusion", "classes"}))
      classes.push_back(name.is_string() ? name.get<std::string>() : "");
    content += element("h3", {},
                       text(fmt::format("Confusion at threshold {}",
                                        number_text(number_at(evaluation, {"confusion", "threshold"}), 2)))) +
               confusion_table(confusion, classes);
  }
  return content + threshold_table(evaluation);
}

/// A table of "worst_objects": true objects by their parts, or predicted ones by the true objects in them.
Html object_table(const Json& evaluation, const char* kind, const std::string& heading,
                  const std::vector<HtmlTable::Column>& columns) {
  const Json& rows = list_at(evaluation, {"worst_objects", kind});
  if (rows.empty()) return {};
  const auto id_at = [](const Json& row, const char* key) {
    const Json& id = json_at(row, {key});  // 64 bits: not a double
    return Cell::plain(id.is_number_unsigned() && id != 0 ? fmt::format("{}", id.get<std::uint64_t>())
                                                          : "\u2013");
  };
  HtmlTable table(columns, true);
  for (const Json& row : rows) {
    const double voxels = number_at(row, {"voxels"}), shared = number_at(row, {"voxels_in_largest_part"});
    table.add({id_at(row, "id"), Cell::whole(voxels), Cell::whole(number_at(row, {"parts"})),
               id_at(row, "largest_part"), Cell::number(100 * shared / std::max(1.0, voxels), 1),
               Cell::whole(voxels - shared)});
  }
  return element("h3", {}, text(heading)) + table.html();
}

Html worst_objects(const Json& evaluation) {
  const Html tables = object_table(evaluation, "split", "True objects that are split most, 3-D",
                                   {{"true object", false},
                                    {"voxels"},
                                    {"predicted objects in it"},
                                    {"largest of them", false},
                                    {"% in the largest"},
                                    {"voxels outside it"}}) +
                      object_table(evaluation, "merged", "Predicted objects that merge most, 3-D",
                                   {{"predicted object", false},
                                    {"voxels"},
                                    {"true objects in it"},
                                    {"largest of them", false},
                                    {"% in the largest"},
                                    {"voxels outside it"}});
  return tables.empty() ? tables
                        : tables + note(
                                       "At most 20 each, by the voxels outside the largest part. Voxels of a "
                                       "predicted object count where the truth is an object.");
}

Html label_part(const Json& evaluation) {
  std::vector<Html> plots;
  for (const char* volume : {"volume_3d", "volume_2d"}) {
    const Json& overlap = list_at(evaluation, {volume, "overlap"});
    Plot plot{.title = fmt::format("Objects found, {}", volume[7] == '3'
                                                            ? "an object is one through the stack (3-D)"
                                                            : "section by section (2-D)"),
              .x = axis("intersection over union above"),
              .y = share_axis("share of objects"),
              .series = {},
              .rules = {}};
    int colour = 0;
    for (const auto& [key, name] :
         {std::pair("object_precision", "precision"), {"object_recall", "recall"}, {"object_f1", "F1"}}) {
      PlotSeries series{name, {}, PlotSeries::Style::dotted_line, ++colour};
      const Json& values = list_at(evaluation, {volume, key});
      for (std::size_t i = 0; i < std::min(overlap.size(), values.size()); ++i) {
        if (overlap[i].is_number() && values[i].is_number())
          series.points.push_back({overlap[i].get<double>(), values[i].get<double>()});
      }
      plot.series.push_back(series);
    }
    if (any_points(plot.series)) plots.push_back(figure_of(plot));
  }
  return figures(plots) + worst_objects(evaluation);
}

Html class_part(const Json& evaluation) {
  HtmlTable table(
      {{"class"}, {"IoU"}, {"Dice"}, {"precision"}, {"recall"}, {"voxels, true"}, {"voxels, predicted"}});
  std::vector<std::string> names;
  for (const Json& one : list_at(evaluation, {"classes"})) {
    names.push_back(number_text(number_at(one, {"class"}), 0));
    table.add({Cell::whole(number_at(one, {"class"})), Cell::number(number_at(one, {"iou"}), 4),
               Cell::number(number_at(one, {"dice"}), 4), Cell::number(number_at(one, {"precision"}), 4),
               Cell::number(number_at(one, {"recall"}), 4), Cell::whole(number_at(one, {"voxels_true"})),
               Cell::whole(number_at(one, {"voxels_predicted"}))});
  }
  return element("h3", {}, text("By class")) + table.html() + element("h3", {}, text("Confusion")) +
         confusion_table(json_at(evaluation, {"confusion"}), names);
}

}  // namespace

Html confusion_table(const Json& pixels, const std::vector<std::string>& classes) {
  if (classes.size() > kMostShown) {
    return note(
        fmt::format("{} classes are too many to show; evaluation.json has them all.", classes.size()));
  }
  std::vector<HtmlTable::Column> columns{{"truth", false}};
  for (const std::string& name : classes)
    columns.push_back({"predicted " + name});
  HtmlTable table(columns);
  for (std::size_t truth = 0; pixels.is_array() && truth < std::min(classes.size(), pixels.size()); ++truth) {
    const Json& row = pixels[truth];
    if (!row.is_array()) continue;
    double sum = 0;
    for (const Json& value : row)
      sum += value.is_number() ? value.get<double>() : 0;
    std::vector<Cell> cells{Cell::plain(classes[truth])};
    for (std::size_t c = 0; c < classes.size() && c < row.size(); ++c) {
      const double value = row[c].is_number() ? row[c].get<double>() : 0;
      const double share = sum > 0 ? 100 * value / sum : 0;
      cells.push_back({text(with_commas(value)) + Html::markup(" ") +
                           tag("span", "aside", text(fmt::format("{:.1f} %", share))),
                       {},
                       fmt::format("share share-{:.0f}", std::round(share / 5) * 5)});
    }
    table.add(cells);
  }
  return table.html();
}

Html score_part(const RunRecord& record) {
  const auto kind = value_named<EvaluationKind>(text_at(record.evaluation, {"kind"}));
  Html content;
  const std::string missing = text_at(record.evaluation, {"undefined"});
  if (!missing.empty()) content += warning(fmt::format("The scores are undefined ({}).", missing));
  for (const Json& one : list_at(record.evaluation, {"warnings"})) {
    if (one.is_string()) content += warning(one.get<std::string>());
  }
  content += table_of_scores(scores_in(record.evaluation));
  if (kind == EvaluationKind::labels) return content + label_part(record.evaluation);
  if (kind == EvaluationKind::classes) return content + class_part(record.evaluation);
  if (const auto recommended = recommended_threshold(record.evaluation)) {
    content +=
        tag("p", "advice", element("b", {}, text("Recommended threshold. ")) + text(recommended->reason));
  }
  return content + probability_part(record.evaluation);
}

Html section_part(const RunRecord& record) {
  constexpr ColumnHeading kColumns[] = {{"best_f", "best F"},
                                        {"best_f_threshold", "at threshold"},
                                        {"best_rand_f", "best Rand F"},
                                        {"best_rand_threshold", "at threshold"},
                                        {"calibration_error", "calibration error"},
                                        {"brier", "Brier score"},
                                        {"voi", "VOI, bits"},
                                        {"voi_split", "split"},
                                        {"voi_merge", "merge"},
                                        {"adapted_rand_error", "adapted Rand error"},
                                        {"seg", "SEG"},
                                        {"accuracy", "accuracy"},
                                        {"mean_iou", "mean IoU"}};
  const Json& sections = list_at(record.evaluation, {"sections"});
  if (sections.empty()) return note("The evaluation lists no sections.");
  std::vector<HtmlTable::Column> columns{{"section"}};
  std::vector<const char*> keys;
  for (const ColumnHeading& one : kColumns) {
    if (std::none_of(sections.begin(), sections.end(),
                     [&](const Json& s) { return std::isfinite(number_at(s, {one.key})); }))
      continue;
    columns.push_back({one.heading});
    keys.push_back(one.key);
  }
  columns.push_back({"", false});
  std::vector<std::int64_t> worst;
  for (const Json& one : list_at(record.evaluation, {"worst_sections"}))
    worst.push_back(whole_at(one, {"section"}));

  const SectionScore ranked = section_score(record.evaluation);
  std::vector<const Json*> order;
  for (const Json& one : sections)
    order.push_back(&one);
  const bool all = order.size() <= kMostSections;
  if (!all) {
    std::stable_sort(order.begin(), order.end(), [&](const Json* a, const Json* b) {
      const double x = number_at(*a, {ranked.key}), y = number_at(*b, {ranked.key});
      return ranked.better == Better::higher ? x < y : x > y;
    });
    order.resize(kMostSections);
  }
  HtmlTable table(columns, true);
  for (const Json* one : order) {
    const std::int64_t section = whole_at(*one, {"section"});
    std::vector<Cell> cells{Cell::whole(static_cast<double>(section))};
    for (const char* key : keys)
      cells.push_back(
          Cell::number(number_at(*one, {key}), std::string_view(key).ends_with("threshold") ? 2 : 4));
    const auto place = std::find(worst.begin(), worst.end(), section);
    cells.push_back(Cell::plain(place == worst.end()     ? ""
                                : place == worst.begin() ? "worst"
                                                         : "among the worst"));
    table.add(cells, place == worst.end() ? "" : "marked");
  }
  Html content;
  if (sections.size() > 4) {
    Plot plot{.title = "Through the stack",
              .x = {.label = "section", .min = {}, .max = {}, .whole = true},
              .y = axis("score"),
              .series = {},
              .rules = {}};
    plot.width = 1060;
    plot.height = 220;
    plot.series.push_back(section_curve(record.evaluation, ranked.key, ranked.name, 1));
    if (ranked.key == "best_f")
      plot.series.push_back(section_curve(record.evaluation, "best_rand_f", "best Rand F", 2));
    if (ranked.key == "voi") {
      plot.series.push_back(section_curve(record.evaluation, "voi_split", "split", 2));
      plot.series.push_back(section_curve(record.evaluation, "voi_merge", "merge", 3));
    }
    content += figure_of(plot);
  }
  if (!all) content += note(fmt::format("The {} worst of {} sections.", kMostSections, sections.size()));
  return content + table.html();
}

}  // namespace tessera
