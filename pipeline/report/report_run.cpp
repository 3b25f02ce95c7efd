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

/// A heading with lines beneath; empty lines are left out.
class Facts {
 public:
  explicit Facts(const std::string& heading) : heading_(heading) {}
  void add(const std::string& line) {
    if (!line.empty()) lines_ += element("li", {}, text(line));
  }
  void add_path(const std::string& before, const std::string& path) {
    if (!path.empty()) lines_ += element("li", {}, text(before) + path_text(path));
  }
  void add_note(const std::string& line) { lines_ += tag("li", "note", text(line)); }
  Html html() const {
    return element("div", {}, element("h3", {}, text(heading_)) + element("ul", {}, lines_));
  }

 private:
  std::string heading_;
  Html lines_;
};

std::string seconds_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "time not known";
  return seconds < 100 ? fmt::format("{:.1f} s", seconds) : duration_text(seconds);
}

std::string plural(double count, const std::string& word) {
  return fmt::format("{} {}{}", with_commas(count), word, count == 1 ? "" : "s");
}

/// "2 workers on vm: cpu, 1 thread", from a list with host and device.
std::string workers_text(const Json& workers) {
  std::vector<std::string> hosts, devices;
  const auto note_in = [](std::vector<std::string>& list, const std::string& one) {
    if (!one.empty() && std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
  };
  for (const Json& worker : workers) {
    note_in(hosts, words_at(worker, {"host"}));
    note_in(devices, words_at(worker, {"device"}));
  }
  std::string words = plural(static_cast<double>(workers.size()), "worker");
  if (hosts.size() == 1) words += " on " + hosts[0];
  if (hosts.size() > 1) words += fmt::format(" on {} hosts", hosts.size());
  for (std::size_t i = 0; i < std::min<std::size_t>(devices.size(), 3); ++i)
    words += (i == 0 ? ": " : "; ") + devices[i];
  if (devices.size() > 3) words += fmt::format("; and {} more devices", devices.size() - 3);
  return words;
}

/// "[16, 20]" of a config as "sections 16 to 19".
std::string sections_of(const std::string& range) {
  double begin = 0, end = 0;
  return std::sscanf(range.c_str(), "[%lf, %lf]", &begin, &end) == 2 ? section_range_text(begin, end) : "";
}

std::string last_of(const std::vector<double>& values, const auto& words) {
  const auto last = std::find_if(values.rbegin(), values.rend(), [](double v) { return std::isfinite(v); });
  return last == values.rend() ? "" : words(*last);
}

Html network_facts(const RunRecord& record) {
  Facts facts("Network");
  const auto key = [&](const char* name) { return record.config(name); };
  if (!key("model.torchscript").empty())
    facts.add_path("TorchScript ", key("model.torchscript"));
  else if (!key("model.preset").empty())
    facts.add(fmt::format("{}, {} filters, depth {}", key("model.preset"), key("model.base_filters"),
                          key("model.depth")));
  else
    facts.add_note("No config in the run folder.");
  const double parameters = number_at(record.training, {"parameters"});
  if (std::isfinite(parameters)) facts.add(plural(parameters, "parameter"));
  if (!key("model.padding").empty()) {
    facts.add(fmt::format("{} padding{}, dropout {}", key("model.padding"),
                          key("model.batch_norm") == "true" ? ", batch norm" : "", key("model.dropout")));
  }
  return facts.html();
}

Html training_facts(const RunRecord& record) {
  Facts facts("Training");
  if (record.metrics.rows.empty()) {
    facts.add_note("Not trained in this folder: there is no metrics.csv with rows.");
    return facts.html();
  }
  const std::string planned = record.config("train.iterations");
  facts.add(last_of(record.metrics.column("iteration"), [&](double n) {
    return planned.empty()
               ? plural(n, "iteration")
               : fmt::format("{} of {} iterations", with_commas(n), with_commas(std::atof(planned.c_str())));
  }));
  facts.add(last_of(record.metrics.column("elapsed_s"), seconds_text));
  const Json& workers = list_at(record.training, {"workers"});
  if (!workers.empty())
    facts.add(workers_text(workers) +
              fmt::format(" ({})", plural(number_at(record.training, {"ranks"}), "rank")));
  else
    facts.add_note("Ranks and devices were not recorded.");
  const std::string end = words_at(record.training, {"end"});
  std::string started = words_at(record.training, {"started"});
  if (started.size() == 20) started = started.substr(0, 10) + " " + started.substr(11, 5) + " UTC";
  if (!started.empty()) {
    facts.add(fmt::format(
        "{} {}{}", words_at(record.training, {"resumed_from"}).empty() ? "started" : "resumed", started,
        end.empty() || end == "done" ? "" : ", " + (end == "running" ? "not ended yet, or killed" : end)));
  }
  const std::string early = words_at(record.training, {"ended_early"});
  if (!early.empty()) facts.add("ended early: " + early);
  const auto of_volume = [&](std::size_t i, const char* key) {
    return record.config(fmt::format("data.volumes[{}].{}", i, key));
  };
  std::size_t volumes = 0;
  while (!of_volume(volumes, "label_kind").empty())
    ++volumes;
  const std::string trained_on = sections_of(record.config("data.train_sections"));
  if (volumes == 0 && !trained_on.empty()) facts.add("on " + trained_on);
  if (volumes == 0) facts.add_path("", record.config("data.raw"));
  for (std::size_t i = 0; i < volumes; ++i) {
    const std::string own = of_volume(i, "raw");
    facts.add_path("", own.empty() ? record.config("data.raw") : own);
  }
  return facts.html();
}

Html inference_facts(const RunRecord& record) {
  Facts facts("Inference");
  if (!record.has_inference()) {
    facts.add_note("Nothing predicted yet: there is no inference.json.");
    return facts.html();
  }
  facts.add(fmt::format("{} Mvoxels in {}",
                        number_text(number_at(record.inference, {"total", "voxels"}) / 1e6, 2),
                        seconds_text(number_at(record.inference, {"elapsed_s"}))));
  facts.add(workers_text(list_at(record.inference, {"workers"})));
  const std::string precision = record.config("infer.precision"),
                    checkpoint = record.config("infer.checkpoint");
  if (!checkpoint.empty())
    facts.add(fmt::format("checkpoint {}, precision {}", checkpoint,
                          precision.empty() ? "not recorded" : precision));
  const std::string end = words_at(record.inference, {"end"});
  facts.add(record.inference_time.empty()
                ? end
                : fmt::format("{} {}", end.empty() ? "ended" : end, record.inference_time));
  facts.add_path("", words_at(record.inference, {"result"}));
  return facts.html();
}

Html evaluation_facts(const RunRecord& record) {
  Facts facts("Evaluation");
  if (!record.has_evaluation()) {
    facts.add_note("Not scored yet: there is no evaluation.json.");
    return facts.html();
  }
  const Json& range = list_at(record.evaluation, {"section_range"});
  if (range.size() == 2 && range[0].is_number() && range[1].is_number()) {
    facts.add(fmt::format("{}, taken as {}",
                          section_range_text(range[0].get<double>(), range[1].get<double>()),
                          words_at(record.evaluation, {"kind"})));
  }
  const double ranks = number_at(record.evaluation, {"run", "ranks"}),
               seconds = number_at(record.evaluation, {"run", "seconds"});
  if (std::isfinite(ranks) && std::isfinite(seconds))
    facts.add(fmt::format("{} on {}", seconds_text(seconds), plural(ranks, "rank")));
  const double memory = number_at(record.evaluation, {"run", "peak_memory_bytes_per_rank"});
  if (memory > 0 && memory < 1e18)
    facts.add(fmt::format("at most {} a rank", bytes_text(static_cast<std::int64_t>(memory))));
  facts.add(record.evaluation_time.empty() ? "" : "done " + record.evaluation_time);
  facts.add_path("prediction ", words_at(record.evaluation, {"prediction"}));
  facts.add_path("labels ", words_at(record.evaluation, {"labels"}));
  return facts.html();
}

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
                            Cell::words(words_at(one, {"host"})),
                            Cell::words(words_at(one, {"device"})),
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

std::string section_range_text(double begin, double end) {
  return end - begin == 1 ? fmt::format("section {:.0f}", begin)
                          : fmt::format("sections {:.0f} to {:.0f}", begin, end - 1);
}

Html fact_part(const RunRecord& record) {
  return tag(
      "div", "facts",
      network_facts(record) + training_facts(record) + inference_facts(record) + evaluation_facts(record));
}

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
  const Json& failed = list_at(report, {"blocks", "failed"});
  const double left = number_at(report, {"blocks", "left"});
  if (!failed.empty()) {
    content += warning(fmt::format(
        "{} could not be predicted and {} set aside; starting the same command again tries {} again.",
        plural(static_cast<double>(failed.size()), "block"), failed.size() == 1 ? "was" : "were",
        failed.size() == 1 ? "it" : "them"));
    HtmlTable table({{"block"}, {"where", false}, {"attempts"}, {"last worker", false}, {"why", false}});
    for (std::size_t i = 0; i < std::min<std::size_t>(failed.size(), 100); ++i) {
      table.add({Cell::whole(number_at(failed[i], {"block"})), Cell::words(words_at(failed[i], {"place"})),
                 Cell::whole(number_at(failed[i], {"attempts"})),
                 Cell::words(words_at(failed[i], {"worker"})), Cell::words(words_at(failed[i], {"words"}))});
    }
    content += table.html();
    if (failed.size() > 100) content += note(fmt::format("inference.json lists all {}.", failed.size()));
  } else if (left > 0) {
    content += warning(fmt::format("{} of {} blocks are still to be predicted; the same command goes on.",
                                   with_commas(left), with_commas(number_at(report, {"blocks", "all"}))));
  }
  const double before = number_at(report, {"blocks", "before"}),
               stored = number_at(report, {"raw_chunks_stored"});
  std::string words = fmt::format(
      "{} Mvoxels per second over all workers; {} of {} blocks done in this start",
      number_text(number_at(report, {"voxels_per_s"}) / 1e6, 2),
      with_commas(number_at(report, {"blocks", "now"})), with_commas(number_at(report, {"blocks", "all"})));
  if (before > 0) words += fmt::format(", {} before", with_commas(before));
  const double skipped = number_at(report, {"blocks", "skipped_now"});
  if (skipped > 0) words += fmt::format(", {} skipped", with_commas(skipped));
  words += ".";
  if (stored > 0 && !(before > 0)) {
    words += fmt::format(" Each stored chunk of the raw volume was decompressed {:.2f} times on average.",
                         number_at(report, {"total", "chunks_read"}) / stored);
  }
  content += element("p", {}, text(words));
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
