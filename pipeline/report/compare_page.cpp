#include "pipeline/report/compare_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "io/base/error.h"
#include "pipeline/report/curves.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/named_scores.h"
#include "pipeline/report/page.h"
#include "pipeline/report/report_parts.h"
#include "pipeline/report/section_pictures.h"

namespace tessera {
namespace {

/// A measure of a run beside its scores.
struct Pace {
  std::string name, unit;
  double value;
};

std::vector<Pace> pace_of(const RunRecord& run) {
  const std::vector<double> elapsed = run.metrics.column("elapsed_s"),
                            iterations = run.metrics.column("iteration");
  const double none = std::numeric_limits<double>::quiet_NaN();
  return {{"Training", "minutes", elapsed.empty() ? none : elapsed.back() / 60},
          {"Training", "iterations per second",
           elapsed.empty() ? none : iterations.back() / std::max(1e-9, elapsed.back())},
          {"Inference", "Mvoxels per second", number_at(run.inference, {"voxels_per_s"}) / 1e6},
          {"Inference", "seconds", number_at(run.inference, {"elapsed_s"})}};
}

/// "better" or "worse" by the sign of b - a; "" where they are equal or one is missing.
std::string verdict(double a, double b, Better better) {
  if (!std::isfinite(a) || !std::isfinite(b) || a == b) return {};
  return (b > a) == (better == Better::higher) ? "better" : "worse";
}

Cell difference_cell(double a, double b, int decimals) {
  Cell cell = Cell::number(b - a, decimals);
  if (b > a && std::isfinite(b - a)) cell.content = text("+") + cell.content;
  return cell;
}

/// Without a direction, as for a time that depends on the request, neither is called better.
std::vector<Cell> compared(Html name, double a, double b, std::optional<Better> better, int decimals) {
  const std::string change_text = better ? verdict(a, b, *better) : "";
  Cell left = Cell::number(a, decimals), right = Cell::number(b, decimals),
       change = difference_cell(a, b, decimals);
  if (change_text == "worse") left.css_class = "win";
  if (change_text == "better") right.css_class = "win";
  change.css_class = change_text;
  const char* arrow = change_text == "better"  ? "\u25B2 B is better"
                      : change_text == "worse" ? "\u25BC A is better"
                      : better && a == b       ? "equal"
                                               : "";
  return {{std::move(name), {}, {}}, left, right, change, {text(arrow), {}, change_text}};
}

Html score_differences(const RunRecord& a, const RunRecord& b) {
  const std::vector<NamedScore> of_a = scores_in(a.evaluation), of_b = scores_in(b.evaluation);
  HtmlTable table({{"score", false}, {"A"}, {"B"}, {"B \u2212 A"}, {"", false}, {"better is", false}});
  int better = 0, both = 0;
  const auto add = [&](Html name, double x, double y, std::optional<Better> direction, int decimals) {
    std::vector<Cell> cells = compared(std::move(name), x, y, direction, decimals);
    const char* aim = !direction ? "" : *direction == Better::lower ? "lower" : "higher";
    cells.push_back({tag("span", "aside", text(aim)), {}, {}});
    table.add(cells);
  };
  for (const NamedScore& one : of_a) {
    const auto other =
        std::find_if(of_b.begin(), of_b.end(), [&](const NamedScore& s) { return s.key == one.key; });
    if (other == of_b.end()) continue;
    ++both;
    better += verdict(one.value, other->value, one.better) == "better" ? 1 : 0;
    add(score_name(one.name), one.value, other->value, one.better, 4);
  }
  const std::vector<Pace> pace_a = pace_of(a), pace_b = pace_of(b);
  for (std::size_t i = 0; i < pace_a.size(); ++i) {
    if (!std::isfinite(pace_a[i].value) || !std::isfinite(pace_b[i].value)) continue;
    add(text(pace_a[i].name + ", ") + tag("span", "aside", text(pace_a[i].unit)), pace_a[i].value,
        pace_b[i].value, std::nullopt, 2);
  }
  if (table.empty()) return note("There is no number that both have.");
  Html content;
  if (both > 0)
    content += element("p", {}, text(fmt::format("B is better in {} of {} scores.", better, both)));
  return content + table.html();
}

/// Messages about differences that make the scores hard to compare.
std::vector<std::string> caveats(const RunRecord& a, const RunRecord& b) {
  std::vector<std::string> all;
  const std::array<std::pair<const RunRecord*, const char*>, 2> runs{{{&a, "A"}, {&b, "B"}}};
  for (const auto& [run, name] : runs) {
    if (!run->has_evaluation())
      all.push_back(fmt::format("{} has not been scored: there is no evaluation.json in {}.", name,
                                run->place.string()));
  }
  if (!all.empty()) return all;
  const auto differ = [&](const char* key, const char* how) {
    if (json_at(a.evaluation, {key}) == json_at(b.evaluation, {key})) return;
    const auto shown = [&](const RunRecord& run) {
      const Json& value = json_at(run.evaluation, {key});
      return value.is_string() ? value.get<std::string>() : json_text(value, -1);
    };
    all.push_back(fmt::format("A and B were scored {}: {} and {}.", how, shown(a), shown(b)));
  };
  differ("kind", "as different kinds, so their scores have different names");
  differ("labels", "against different labels");
  differ("section_range", "on different sections");
  return all;
}

/// Adds the same curve of both runs; no figure when neither has it.
template <class Curve>
void add_figure(std::vector<Html>& all, Plot plot, const RunRecord& a, const RunRecord& b, Curve&& curve) {
  for (PlotSeries& one : std::vector<PlotSeries>{curve(a, "A", 1), curve(b, "B", 2)})
    plot.series.push_back(std::move(one));
  if (any_points(plot.series)) all.push_back(figure_of(plot));
}

Html curves(const RunRecord& a, const RunRecord& b) {
  using Style = PlotSeries::Style;
  const PlotAxis iterations{.label = "iteration", .min = {}, .max = {}, .whole = true};
  const auto plot = [](const std::string& title, const PlotAxis& x, const PlotAxis& y) {
    return Plot{.title = title, .x = x, .y = y, .series = {}, .rules = {}};
  };
  std::vector<Html> all;
  const auto metric = [&](const char* column, bool smooth) {
    return [=](const RunRecord& run, const char* name, int colour) {
      PlotSeries series =
          metric_curve(run.metrics, column, name, colour, smooth ? Style::line : Style::dotted_line);
      return smooth ? smoothed(std::move(series)) : series;
    };
  };
  add_figure(
      all, plot("Loss", iterations, {.label = "weighted cross entropy, running mean", .min = {}, .max = {}}),
      a, b, metric("loss", true));
  add_figure(all,
             plot("Validation pixel error: lower is better", iterations,
                  {.label = "share of pixels", .min = {}, .max = {}}),
             a, b, metric("validation_pixel_error", false));
  add_figure(
      all, plot("Validation Rand F: higher is better", iterations, {.label = "score", .min = {}, .max = {}}),
      a, b, metric("validation_rand_f", false));
  const PlotAxis threshold = share_axis("threshold of the probability");
  for (const auto& [key, title] : {std::pair("f", "F of the interior"),
                                   {"rand_f_macro", "Rand F, mean over sections"},
                                   {"rand_thin_f_macro", "Rand score, borders thinned"},
                                   {"info_thin_f_macro", "Information score, borders thinned"},
                                   {"seg", "SEG, 2-D components"}}) {
    add_figure(all, plot(std::string(title) + ": higher is better", threshold, share_axis("score")), a, b,
               [&, key = key](const RunRecord& run, const char* name, int colour) {
                 return threshold_curve(run.evaluation, key, name, colour);
               });
  }
  add_figure(all,
             plot("Precision and recall", share_axis("recall of interior pixels"),
                  {.label = "precision", .min = {}, .max = 1}),
             a, b, [](const RunRecord& run, const char* name, int colour) {
               return precision_recall_curve_of(run.evaluation, name, colour);
             });
  Plot reliability =
      plot("Reliability", share_axis("predicted probability"), share_axis("share that is interior"));
  reliability.series = {diagonal()};
  add_figure(all, reliability, a, b, [](const RunRecord& run, const char* name, int colour) {
    return reliability_curve(run.evaluation, name, colour);
  });
  return all.empty() ? note("Neither has curves.") : figures(all);
}

/// The scores in A and in B of a section that both have.
struct SectionPair {
  std::int64_t section;
  double a, b;
};
std::vector<SectionPair> common_sections(const Json& a, const Json& b) {
  const SectionScore score = section_score(a);
  std::vector<SectionPair> pairs;
  if (score.key != section_score(b).key) return pairs;
  std::vector<std::pair<std::int64_t, double>> of_b;
  for (const Json& one : list_at(b, {"sections"}))
    of_b.emplace_back(whole_at(one, {"section"}), number_at(one, {score.key}));
  std::sort(of_b.begin(), of_b.end());
  for (const Json& one : list_at(a, {"sections"})) {
    const std::int64_t section = whole_at(one, {"section"});
    const auto other = std::lower_bound(of_b.begin(), of_b.end(), section,
                                        [](const auto& p, std::int64_t s) { return p.first < s; });
    const double value = number_at(one, {score.key});
    if (section < 0 || other == of_b.end() || other->first != section || !std::isfinite(value) ||
        !std::isfinite(other->second))
      continue;
    pairs.push_back({section, value, other->second});
  }
  return pairs;
}

Html by_section(const Json& a, const Json& b) {
  std::vector<SectionPair> pairs = common_sections(a, b);
  if (pairs.empty()) return note("There is no section that both were scored on.");
  const SectionScore score = section_score(a);
  Html content;
  if (pairs.size() > 4) {
    Plot plot{.title = "Through the stack",
              .x = {.label = "section", .min = {}, .max = {}, .whole = true},
              .y = {.label = score.name, .min = {}, .max = {}},
              .series = {section_curve(a, score.key, "A", 1), section_curve(b, score.key, "B", 2)},
              .rules = {}};
    plot.width = 1060;
    plot.height = 220;
    content += figure_of(plot);
  }
  if (pairs.size() > kMostSections) {
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const auto& x, const auto& y) { return std::abs(x.b - x.a) > std::abs(y.b - y.a); });
    content += note(fmt::format("The {} sections of {} that changed most.", kMostSections, pairs.size()));
    pairs.resize(kMostSections);
  }
  HtmlTable table({{"section"}, {"A, " + score.name}, {"B, " + score.name}, {"B \u2212 A"}, {"", false}},
                  true);
  for (const SectionPair& one : pairs) {
    std::vector<Cell> cells = compared(text(fmt::format("{}", one.section)), one.a, one.b, score.better, 4);
    cells[0].sort_value = fmt::format("{}", one.section);
    table.add(cells);
  }
  return content + table.html();
}

/// Raw, labels, and the errors of A and of B.
Html picture_pair(const RunRecord& a, const RunRecord& b, const ChosenSection& chosen) {
  const std::string caption =
      fmt::format("Section {}, {}: F {} in A, {} in B", chosen.section, chosen.why,
                  number_text(number_at(section_of(a.evaluation, chosen.section), {"best_f"}), 4),
                  number_text(number_at(section_of(b.evaluation, chosen.section), {"best_f"}), 4));
  try {
    const DrawnSection of_a = draw_section(a, chosen.section), of_b = draw_section(b, chosen.section);
    // An evaluation's file names no raw volume; a run's config does.
    const DrawnSection& with_raw = a.config("data.raw").empty() ? of_b : of_a;
    const std::vector<RgbImage> panels{with_raw.panels[0], of_a.panels[1], of_a.panels[2], of_b.panels[2]};
    const RgbImage picture = side_by_side(panels);
    const Html heads =
        element("span", {}, text("raw")) + element("span", {}, text("labels")) +
        element("span", {},
                tag("span", "run-a", text("A")) + text(fmt::format(" at threshold {:.2f}", of_a.threshold))) +
        element("span", {},
                tag("span", "run-b", text("B")) + text(fmt::format(" at threshold {:.2f}", of_b.threshold)));
    return tag("figure", "picture",
               element("figcaption", {}, text(caption)) + tag("div", "panels four", heads) +
                   inline_png(png_of(picture), picture.width, picture.height, caption));
  } catch (const Error& error) {
    return note(fmt::format("Section {}, {}, cannot be drawn: {}", chosen.section, chosen.why, error.what()));
  }
}

Html pictures(const RunRecord& a, const RunRecord& b) {
  if (text_at(a.evaluation, {"kind"}) != name_of(EvaluationKind::probability) ||
      text_at(b.evaluation, {"kind"}) != name_of(EvaluationKind::probability)) {
    return note("Pictures are drawn of probabilities that were scored.");
  }
  Html content;
  for (const ChosenSection& one : sections_to_compare(a.evaluation, b.evaluation))
    content += picture_pair(a, b, one);
  return content.empty() ? note("There is no section that both were scored on.") : overlay_legend() + content;
}

Html config_table(const RunRecord& a, const RunRecord& b) {
  if (a.all_config().empty() || b.all_config().empty())
    return note("The configs cannot be compared: one of the two has none.");
  HtmlTable table({{"key", false}, {"A", false}, {"B", false}});
  for (const ConfigDifference& one : config_differences(a, b)) {
    table.add({{path_text(one.key), {}, "whole"},
               {path_text(one.a.empty() ? "\u2013" : one.a), {}, {}},
               {path_text(one.b.empty() ? "\u2013" : one.b), {}, {}}});
  }
  return table.empty() ? note("Every key has the same value in both.") : table.html();
}

}  // namespace

std::vector<ConfigDifference> config_differences(const RunRecord& a, const RunRecord& b) {
  const std::vector<ConfigKey> of_a = a.all_config(), of_b = b.all_config();
  const auto find = [](const std::vector<ConfigKey>& keys,
                       const std::string& key) -> std::optional<std::string> {
    const auto found =
        std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& one) { return one.key == key; });
    return found == keys.end() ? std::nullopt : std::optional(found->value);
  };
  std::vector<ConfigDifference> differences;
  for (const ConfigKey& one : of_a) {
    const auto other = find(of_b, one.key);
    if (other != one.value) differences.push_back({one.key, one.value, other.value_or("")});
  }
  for (const ConfigKey& one : of_b) {
    if (!find(of_a, one.key)) differences.push_back({one.key, "", one.value});
  }
  return differences;
}

std::vector<ChosenSection> sections_to_compare(const Json& a, const Json& b) {
  const std::vector<SectionPair> pairs = common_sections(a, b);
  if (pairs.empty()) return {};
  const double sign = section_score(a).better == Better::higher ? 1 : -1;
  const auto least = [&](auto&& value) {
    return std::min_element(pairs.begin(), pairs.end(),
                            [&](const auto& x, const auto& y) { return value(x) < value(y); })
        ->section;
  };
  std::vector<ChosenSection> chosen;
  const auto add = [&](std::int64_t section, const std::string& why) {
    const auto there = std::find_if(chosen.begin(), chosen.end(),
                                    [&](const ChosenSection& one) { return one.section == section; });
    if (there == chosen.end())
      chosen.push_back({section, why});
    else
      there->why += " and " + why;
  };
  add(least([&](const SectionPair& p) { return sign * p.a; }), "the worst in A");
  add(least([&](const SectionPair& p) { return sign * p.b; }), "the worst in B");
  add(least([](const SectionPair& p) { return -std::abs(p.b - p.a); }), "the largest change");
  return chosen;
}

std::string compare_page(const RunRecord& a, const RunRecord& b) {
  Html head = tag("p", "over", text("Tessera comparison"));
  head += element("h1", {}, text(a.name == b.name ? a.name + ", twice" : a.name + " and " + b.name));
  for (const auto& [run, name, css_class] : {std::tuple(&a, "A", "run-a"), {&b, "B", "run-b"}}) {
    head += tag(
        "p", "lead",
        tag("span", css_class, text(name)) + text("  " + run->name + "  ") + path_text(run->place.string()));
  }
  for (const RunRecord* run : {&a, &b}) {
    for (const std::string& problem : run->problems)
      head += warning(problem);
  }
  for (const std::string& one : caveats(a, b))
    head += warning(one);
  return html_page(a.name + " and " + b.name + " \u2013 Tessera comparison", head,
                   {{"scores", "Scores", score_differences(a, b)},
                    {"pictures", "The same sections", pictures(a, b)},
                    {"curves", "Curves", curves(a, b)},
                    {"sections", "By section", by_section(a.evaluation, b.evaluation)},
                    {"config", "Config keys that differ", config_table(a, b)}});
}

}  // namespace tessera
