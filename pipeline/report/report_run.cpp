#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/base/durable_file.h"
#include "pipeline/report/curves.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/page.h"
#include "pipeline/report/report_parts.h"
#include "pipeline/run/progress.h"

namespace tessera {
namespace {

constexpr std::size_t kMostBars = 32;

/// A plot over the iterations with the best checkpoint's marked.
Plot training_plot(const std::string& title, const std::string& unit, double best) {
  Plot plot{.title = title,
            .x = {.label = "iteration", .min = {}, .max = {}, .whole = true},
            .y = {.label = unit, .min = {}, .max = {}},
            .series = {},
            .rules = {}};
  if (std::isfinite(best)) plot.rules.push_back({best, fmt::format("best, {}", with_commas(best))});
  return plot;
}

Html worker_table(const Json& workers) {
  HtmlTable table({{"rank"},
                   {"host", false},
                   {"device", false},
                   {"blocks"},
                   {"Mvoxels"},
                   {"Mvoxels/s"},
                   {"read"},
                   {"predict"},
                   {"write"},
                   {"wait"},
                   {"chunks read"}},
                  true);
  for (const Json& one : workers) {
    const double elapsed = std::max(1e-9, number_at(one, {"elapsed_s"})),
                 voxels = number_at(one, {"voxels"}) / 1e6;
    std::vector<Cell> cells{Cell::whole(number_at(one, {"rank"})),
                            Cell::plain(text_at(one, {"host"})),
                            Cell::plain(text_at(one, {"device"})),
                            Cell::whole(number_at(one, {"blocks"})),
                            Cell::number(voxels, 2),
                            Cell::number(voxels / elapsed, 2)};
    for (const char* stage : {"read_s", "predict_s", "write_s", "wait_s"}) {
      const double share = 100 * number_at(one, {stage}) / elapsed;
      cells.push_back({text(std::isfinite(share) ? fmt::format("{:.0f} %", share) : "\u2013"),
                       std::isfinite(share) ? fmt::format("{}", share) : "",
                       {}});
    }
    cells.push_back(Cell::whole(number_at(one, {"chunks_read"})));
    table.add(cells);
  }
  return table.html();
}

}  // namespace

Html training_part(const RunRecord& record) {
  using Style = PlotSeries::Style;
  const MetricsTable& metrics = record.metrics;
  const double best = best_iteration(metrics);
  Plot loss = training_plot("Loss", "weighted cross entropy", best);
  const PlotSeries raw = metric_curve(metrics, "loss", "", 1, Style::faint);
  loss.series = {raw, smoothed({"", raw.points, Style::line, 1})};
  const double least =
      raw.points.empty() ? 0 : std::min_element(raw.points.begin(), raw.points.end(), [](auto& a, auto& b) {
                                 return a.y < b.y;
                               })->y;
  const double most =
      raw.points.empty() ? 0 : std::max_element(raw.points.begin(), raw.points.end(), [](auto& a, auto& b) {
                                 return a.y < b.y;
                               })->y;
  if (least > 0 && most > 20 * least) {
    loss.y.logarithmic = true;
    loss.y.label += ", logarithmic";
  }
  Plot error = training_plot("Pixel error", "share of pixels", best);
  const PlotSeries trained = metric_curve(metrics, "pixel_error", "", 1, Style::faint);
  error.series = {trained, smoothed({"training", trained.points, Style::line, 1}),
                  metric_curve(metrics, "validation_pixel_error", "validation", 2, Style::dotted_line)};
  std::vector<Html> plots{figure_of(loss, "Pale: each iteration; dark: their running mean."),
                          figure_of(error)};

  Plot scores = training_plot("Validation", "score, higher is better", best);
  scores.series = {metric_curve(metrics, "validation_iou", "IoU", 1, Style::dotted_line),
                   metric_curve(metrics, "validation_rand_f", "Rand F", 2, Style::dotted_line)};
  Html content;
  if (any_points(scores.series))
    plots.push_back(figure_of(scores));
  else
    content += note(
        "There are no validation scores: the experiment names no validation sections, or it ended before the "
        "first "
        "validation.");
  const PlotSeries rate = metric_curve(metrics, "learning_rate", "", 1, Style::line);
  const auto same = [&](const PlotPoint& p) { return p.y == rate.points.front().y; };
  if (!rate.points.empty() && std::all_of(rate.points.begin(), rate.points.end(), same)) {
    content += note(fmt::format("The learning rate was {:g} throughout.", rate.points.front().y));
  } else {
    Plot plot = training_plot("Learning rate", "step size", best);
    plot.series = {rate};
    plots.push_back(figure_of(plot));
  }
  Plot time = training_plot("Time", "minutes", best);
  time.series = {metric_curve(metrics, "elapsed_s", "", 1, Style::line)};
  for (PlotPoint& p : time.series[0].points)
    p.y /= 60;
  if (plots.size() % 2 == 1) plots.push_back(figure_of(time));
  return figures(plots) + content;
}

Html inference_part(const RunRecord& record) {
  const Json& report = record.inference;
  const Json& workers = list_at(report, {"workers"});
  Html content;
  for (const Json& one : list_at(report, {"warnings"})) {
    if (one.is_string()) content += warning(one.get<std::string>());
  }
  const Json& failed = list_at(report, {"blocks", "failed"});
  const double left = number_at(report, {"blocks", "left"});
  if (!failed.empty()) {
    content += warning(fmt::format(
        "{} could not be predicted and {} set aside; starting the same command again tries {} again.",
        plural(static_cast<double>(failed.size()), "block"), failed.size() == 1 ? "was" : "were",
        failed.size() == 1 ? "it" : "them"));
    HtmlTable table({{"block"}, {"where", false}, {"attempts"}, {"last worker", false}, {"why", false}});
    for (std::size_t i = 0; i < std::min<std::size_t>(failed.size(), 100); ++i) {
      table.add({Cell::whole(number_at(failed[i], {"block"})), Cell::plain(text_at(failed[i], {"place"})),
                 Cell::whole(number_at(failed[i], {"attempts"})), Cell::plain(text_at(failed[i], {"worker"})),
                 Cell::plain(text_at(failed[i], {"words"}))});
    }
    content += table.html();
    if (failed.size() > 100) content += note(fmt::format("inference.json lists all {}.", failed.size()));
  } else if (left > 0) {
    content += warning(fmt::format("{} of {} blocks are still to be predicted; the same command goes on.",
                                   with_commas(left), with_commas(number_at(report, {"blocks", "all"}))));
  }
  const double before = number_at(report, {"blocks", "before"}),
               stored = number_at(report, {"raw_chunks_stored"});
  std::string blocks = fmt::format(
      "{} Mvoxels per second over all workers; {} of {} blocks done in this start",
      number_text(number_at(report, {"voxels_per_s"}) / 1e6, 2),
      with_commas(number_at(report, {"blocks", "now"})), with_commas(number_at(report, {"blocks", "all"})));
  if (before > 0) blocks += fmt::format(", {} before", with_commas(before));
  const double skipped = number_at(report, {"blocks", "skipped_now"});
  if (skipped > 0) blocks += fmt::format(", {} skipped", with_commas(skipped));
  blocks += ".";
  if (stored > 0 && !(before > 0)) {
    blocks += fmt::format(" Each stored chunk of the raw volume was decompressed {:.2f} times on average.",
                          number_at(report, {"total", "chunks_read"}) / stored);
  }
  content += element("p", {}, text(blocks));
  StackedBars bars{.title = "Time of each worker by stage",
                   .axis = "seconds",
                   .parts = {"read", "predict", "write", "wait"},
                   .colours = {5, 1, 3, 0},
                   .mark = "from start to end",
                   .bars = {}};
  for (std::size_t i = 0; i < std::min(workers.size(), kMostBars); ++i) {
    const Json& one = workers[i];
    StackedBars::Bar bar{
        fmt::format("rank {:.0f}", number_at(one, {"rank"})), "", {}, number_at(one, {"elapsed_s"})};
    bar.remark =
        number_text(number_at(one, {"voxels"}) / 1e6 / std::max(1e-9, number_at(one, {"elapsed_s"})), 2) +
        " Mvoxels/s";
    for (const char* stage : {"read_s", "predict_s", "write_s", "wait_s"})
      bar.parts.push_back(number_at(one, {stage}));
    bars.bars.push_back(bar);
  }
  if (bars.bars.empty()) return content + note("inference.json lists no workers.");
  content += tag("figure", "",
                 element("figcaption", {}, text(bars.title)) + svg_of(bars) +
                     note("Reading, predicting and writing go on side by side, so that a bar may reach "
                          "beyond its worker's time."));
  if (workers.size() > kMostBars)
    content += note(fmt::format("The first {} of {} workers; the table has all.", kMostBars, workers.size()));
  return content + element("h3", {}, text("By worker")) + worker_table(workers);
}

Html config_part(const RunRecord& record) {
  std::vector<std::pair<std::string, Html>> groups;
  for (const ConfigKey& one : record.all_config()) {
    const std::size_t dot = one.key.find('.');
    const std::string group = dot == std::string::npos ? "experiment" : one.key.substr(0, dot);
    const auto found =
        std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == group; });
    Html& content = found == groups.end() ? groups.emplace_back(group, Html()).second : found->second;
    content += element("dt", {}, text(dot == std::string::npos ? one.key : one.key.substr(dot + 1))) +
               tag("dd", "",
                   one.value.find_first_of("/:") == std::string::npos
                       ? text(one.value.empty() ? "\u2013" : one.value)
                       : path_text(one.value));
  }
  Html content;
  for (const auto& [group, keys] : groups)
    content += element("div", {}, element("h3", {}, text(group)) + element("dl", {}, keys));
  return tag("div", "config", content);
}

}  // namespace tessera
