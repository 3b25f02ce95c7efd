#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/hdf5/graph_file.h"
#include "io/volume/dataset_name.h"
#include "pipeline/report/curves.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/object_pictures.h"
#include "pipeline/report/page.h"
#include "pipeline/report/report_parts.h"
#include "pipeline/report/section_pictures.h"

namespace tessera {
namespace {

/// What a part that reads volumes could not show, as a note on the page and a warning.
Html note_of_problem(const std::string& what, const Error& error) {
  const std::string problem = fmt::format("{} cannot be shown: {}", what, error.what());
  spdlog::warn("{}", problem);
  return note(problem);
}

/// Numbers and times of the last start.
Html object_facts(const RunRecord& record) {
  const Json& json = record.segmentation;
  HtmlTable table({{"", false}, {"", false}});
  const auto row = [&](const char* name, const std::string& value) {
    table.add({Cell::plain(name), Cell::plain(value)});
  };
  const auto count = [&](const char* name, JsonPath path) {
    const double value = number_at(json, path);
    if (std::isfinite(value)) row(name, with_commas(value));
  };
  count("objects", {"objects"});
  if (const double threshold = number_at(json, {"threshold"}); std::isfinite(threshold))
    row("threshold", fmt::format("{}", threshold));
  count("supervoxels", {"fragments"});
  count("bundles of edges between them", {"fragment_bundles"});
  for (const auto& [name, key] : {std::pair("first pass", "first_pass"), {"second pass", "second_pass"}}) {
    const double seconds = number_at(json, {key, "elapsed_s"}), voxels = number_at(json, {key, "voxels"});
    if (!(voxels > 0)) continue;
    row(name, fmt::format("{} blocks in {:.1f} s, {:.2f} Mvoxel/s",
                          with_commas(number_at(json, {key, "blocks_done"})), seconds,
                          voxels / 1e6 / std::max(seconds, 1e-3)));
  }
  const std::string result = text_at(json, {"result"});
  table.add({Cell::plain("result"), {path_text(result), {}, {}}});
  return table.html();
}

/// Bars of the number of objects in each class of sizes, two classes for each power of ten.
Html size_histogram(const std::vector<std::uint64_t>& sizes) {
  constexpr double kClasses = 2;
  std::vector<double> counts;
  for (const std::uint64_t size : sizes) {
    const auto at = static_cast<std::size_t>(
        std::floor(kClasses * std::log10(static_cast<double>(std::max<std::uint64_t>(size, 1))) + 1e-9));
    if (counts.size() <= at) counts.resize(at + 1);
    ++counts[at];
  }
  StackedBars plot{.title = "Sizes of the objects",
                   .axis = "objects",
                   .parts = {"objects"},
                   .colours = {1},
                   .mark = {},
                   .bars = {}};
  const auto first = std::ranges::find_if(counts, [](double count) { return count > 0; });
  for (auto at = first; at != counts.end(); ++at) {
    const auto edge = [](std::ptrdiff_t i) {
      return std::ceil(std::pow(10.0, static_cast<double>(i) / kClasses) - 1e-9);
    };
    const std::ptrdiff_t place = at - counts.begin();
    plot.bars.push_back(
        {fmt::format("{} to {} voxels", with_commas(edge(place)), with_commas(edge(place + 1) - 1)),
         with_commas(*at),
         {*at}});
  }
  return tag("figure", "plot", element("figcaption", {}, text(plot.title)) + svg_of(plot));
}

Html sizes_part(const RunRecord& record) {
  const std::string result = text_at(record.segmentation, {"result"});
  if (result.empty()) return {};
  try {
    std::filesystem::path graph = parse_dataset_name(result).file;
    graph.replace_extension(".graph.h5");
    if (!file_exists(graph)) return {};  // of components there is no graph
    const std::vector<std::uint64_t> sizes = read_object_sizes(graph);
    return sizes.empty() ? note("There is no object.") : size_histogram(sizes);
  } catch (const Error& error) {
    return note_of_problem("The sizes of the objects", error);
  }
}

Html figure_of_objects(const ObjectPicture& picture, bool has_panels) {
  Html heads;
  for (const char* head : {"truth", "segmentation"})
    heads += tag("span", "", text(head));
  return tag(
      "figure", "picture",
      element("figcaption", {}, text(picture.caption)) +
          (has_panels ? tag("div", "panels two", heads) : Html()) +
          inline_png(png_of(picture.image), picture.image.width, picture.image.height, picture.caption));
}

Html planes_part(const RunRecord& record) {
  if (text_at(record.segmentation, {"result"}).empty()) return {};
  try {
    std::vector<Html> all;
    for (const ObjectPicture& one : object_planes(record))
      all.push_back(figure_of_objects(one, false));
    return element("h3", {}, text("Three planes")) +
           note("An object has one colour everywhere. Plain grey: no object.") + figures(all);
  } catch (const Error& error) {
    return note_of_problem("The objects", error);
  }
}

Html worst_part(const RunRecord& record) {
  if (!record.object_evaluation.is_object()) return {};
  try {
    std::vector<Html> all;
    for (const ObjectPicture& one : worst_object_pictures(record))
      all.push_back(figure_of_objects(one, true));
    if (all.empty()) return {};
    return element("h3", {}, text("The worst splits and mergers")) +
           note(
               "The objects with most voxels outside their largest part, each in the section where it is "
               "largest. A split object has several colours on the right, a merged one on the left.") +
           figures(all);
  } catch (const Error& error) {
    return note_of_problem("The worst splits and mergers", error);
  }
}

std::string stage_name(const Json& stage) {
  const double threshold = number_at(stage, {"threshold"});
  return text_at(stage, {"kind"}) + (std::isfinite(threshold) ? fmt::format("\u00A0{:.3g}", threshold) : "");
}

/// The stages of the merges with their scores, and the curves over the thresholds.
Html stage_part(const Json& evaluation) {
  const Json& stages = list_at(evaluation, {"stages"});
  if (stages.empty()) return {};
  const bool thin = stages[0].contains("rand_thin_f_macro");
  std::vector<HtmlTable::Column> columns{{"stage", false}, {"objects"}, {"VOI split"},
                                         {"VOI merge"},    {"VOI"},     {"adapted Rand error"}};
  if (thin) columns.push_back({"V^Rand_thin"});
  HtmlTable table(columns);
  struct Curve {
    const char* key;
    PlotSeries series;
  };
  std::vector<Curve> curves{{"voi_split", {"split", {}, PlotSeries::Style::dotted_line, 2}},
                            {"voi_merge", {"merge", {}, PlotSeries::Style::dotted_line, 3}},
                            {"voi", {"VOI", {}, PlotSeries::Style::dotted_line, 1}}};
  PlotSeries rand{"adapted Rand error", {}, PlotSeries::Style::dotted_line, 4};
  PlotSeries thinned{"V^Rand_thin", {}, PlotSeries::Style::dotted_line, 1};
  const std::int64_t best = whole_at(evaluation, {"best_stage", "voi"});
  for (const Json& stage : stages) {
    std::vector<Cell> cells{Cell::plain(stage_name(stage)), Cell::whole(number_at(stage, {"objects"}))};
    for (const char* key : {"voi_split", "voi_merge", "voi", "adapted_rand_error"})
      cells.push_back(Cell::number(number_at(stage, {key}), 4));
    if (thin) cells.push_back(Cell::number(number_at(stage, {"rand_thin_f_macro"}), 4));
    table.add(cells, best >= 0 && whole_at(stage, {"stage"}) == best ? "marked" : "");
    const double threshold = number_at(stage, {"threshold"});
    if (!std::isfinite(threshold) || text_at(stage, {"kind"}) == "small") continue;
    for (Curve& one : curves)
      one.series.points.push_back({threshold, number_at(stage, {one.key})});
    rand.points.push_back({threshold, number_at(stage, {"adapted_rand_error"})});
    if (thin) thinned.points.push_back({threshold, number_at(stage, {"rand_thin_f_macro"})});
  }
  Plot voi{.title = "Variation of information over the threshold: lower is better",
           .x = {.label = "threshold of the merges", .min = {}, .max = {}},
           .y = {.label = "bits", .min = 0, .max = {}},
           .series = {},
           .rules = {}};
  for (const Curve& one : curves)
    voi.series.push_back(one.series);
  Plot error{.title = "Adapted Rand error over the threshold: lower is better",
             .x = voi.x,
             .y = {.label = "1 \u2212 F", .min = 0, .max = {}},
             .series = {rand},
             .rules = {}};
  Html content = element("h3", {}, text("Every stage of the merges"));
  std::vector<Html> curves_shown{figure_of(voi), figure_of(error)};
  if (thin) {
    error.title = "V^Rand_thin over the threshold: higher is better";
    error.y = {.label = "F", .min = {}, .max = {}};
    error.series = {thinned};
    curves_shown.push_back(figure_of(error));
  }
  if (any_points(voi.series)) content += figures(curves_shown);
  return content + table.html() +
         note(evaluation.contains("chosen") ? "The threshold that segment.choose took is marked."
                                            : "The stage with the lowest VOI is marked.");
}

/// The thresholds that segment.choose compared, as stages; null without.
Json stages_of_choice(const Json& segmentation) {
  const Json& scores = list_at(segmentation, {"chosen_threshold", "scores"});
  if (scores.empty()) return {};
  Json stages = Json::array();
  Json best;
  for (const Json& one : scores) {
    Json stage = one;
    stage["stage"] = stages.size() + 1;
    stage["kind"] = "threshold";
    if (number_at(one, {"threshold"}) == number_at(segmentation, {"chosen_threshold", "threshold"}))
      best = stage["stage"];
    stages.push_back(stage);
  }
  return {{"stages", stages}, {"best_stage", {{"voi", best}}}, {"chosen", true}};
}

Html score_table_of(const RunRecord& record) {
  if (!record.object_evaluation.is_object()) {
    return record.graph_evaluation.is_object()
               ? Html()
               : note(
                     "The objects have not been compared with labels: tessera evaluate CONFIG.yaml does, "
                     "where "
                     "evaluate.labels has ids of objects and evaluate.label_kind is instances.");
  }
  RunRecord objects;
  objects.evaluation = record.object_evaluation;
  const Json& range = list_at(objects.evaluation, {"section_range"});
  std::string heading = "Scores of the objects";
  if (range.size() == 2 && range[0].is_number() && range[1].is_number())
    heading += ", " + section_range_text(range[0].get<double>(), range[1].get<double>());
  return element("h3", {}, text(heading)) + score_part(objects);
}

}  // namespace

Html object_part(const RunRecord& record) {
  Html content;
  if (record.segmentation.is_object())
    content += object_facts(record) + sizes_part(record) + planes_part(record);
  content += score_table_of(record);
  content += stage_part(record.graph_evaluation.is_object() ? record.graph_evaluation
                                                            : stages_of_choice(record.segmentation));
  return content + worst_part(record);
}

}  // namespace tessera
