#include "pipeline/report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera {
namespace {

constexpr double kCharacter = 6.4, kLine = 15;  ///< of the text, in CSS pixels; styles.cpp sets 12 px
constexpr std::size_t kMostPoints = 1200;       ///< of a curve: more than the pixels that it spans

std::size_t characters_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

double width_of(const std::string& text) {
  return kCharacter * static_cast<double>(characters_of(text));
}

/// From values to pixels along one axis.
struct Scale {
  std::vector<double> ticks;
  double low = 0, high = 1, from = 0, to = 1;
  bool logarithmic = false;

  bool takes(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }
  double operator()(double value) const {
    const double share = logarithmic ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
                                     : (value - low) / (high - low);
    return from + std::clamp(share, -0.01, 1.01) * (to - from);
  }
  std::string tick_text(double tick) const {
    return tessera::tick_text(tick, logarithmic ? tick : ticks[1] - ticks[0]);
  }
};

/// The scale that shows every value; `snug`: it ends at the values rather than at whole ticks.
Scale scale_of(const PlotAxis& axis, const std::vector<double>& values, int tick_count, bool snug) {
  Scale scale;
  scale.logarithmic = axis.logarithmic;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : values) {
    if (!scale.takes(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) low = scale.logarithmic ? 0.1 : 0, high = 1;
  if (axis.min) low = *axis.min;
  if (axis.max) high = *axis.max;
  scale.ticks = scale.logarithmic ? logarithmic_ticks(low, high) : nice_ticks(low, high, tick_count);
  const bool open = low < high && (snug || (axis.min && axis.max));
  scale.low = open ? low : axis.min && *axis.min < scale.ticks.back() ? *axis.min : scale.ticks.front();
  scale.high = open ? high : axis.max && *axis.max > scale.low ? *axis.max : scale.ticks.back();
  const double slack = 1e-9 * (scale.high - scale.low);
  std::erase_if(scale.ticks, [&](double t) { return t < scale.low - slack || t > scale.high + slack; });
  if (axis.whole) std::erase_if(scale.ticks, [](double t) { return t != std::round(t); });
  if (scale.ticks.size() < 2) scale.ticks = {scale.low, scale.high};
  return scale;
}

Html svg_text(double x, double y, const std::string& content, const char* css_class,
              const char* anchor = "start") {
  return element("text",
                 {{"x", fmt::format("{:.1f}", x)},
                  {"y", fmt::format("{:.1f}", y)},
                  {"class", css_class},
                  {"text-anchor", anchor}},
                 text(content));
}

Html svg_line(double x1, double y1, double x2, double y2, const char* css_class) {
  return element("line", {{"x1", fmt::format("{:.1f}", x1)},
                          {"y1", fmt::format("{:.1f}", y1)},
                          {"x2", fmt::format("{:.1f}", x2)},
                          {"y2", fmt::format("{:.1f}", y2)},
                          {"class", css_class}});
}

Html svg_frame(const std::string& title, double width, double height, const Html& content) {
  return element(
      "svg",
      {{"viewBox", fmt::format("0 0 {:.0f} {:.0f}", width, height)}, {"role", "img"}, {"aria-label", title}},
      content);
}

class Drawing {
 public:
  explicit Drawing(const Plot& plot) : plot_(plot) {
    std::vector<double> xs, ys;
    for (const PlotSeries& series : plot.series) {
      for (const PlotPoint& p : series.points) {
        if (!std::isfinite(p.x) || !std::isfinite(p.y)) continue;
        xs.push_back(p.x);
        ys.push_back(p.y);
        labelled_ = labelled_ || has_label(series);
        gutter_ = std::max(gutter_, has_label(series) ? width_of(series.name) + 34 : 14);
      }
    }
    points_ = xs.size();
    x_ = scale_of(plot.x, xs, 6, true);
    y_ = scale_of(plot.y, ys, 5, false);
    double widest = 0;
    for (const double tick : y_.ticks)
      widest = std::max(widest, width_of(y_.tick_text(tick)));
    x_.from = std::max(34.0, widest + 12);
    gutter_ = std::max(gutter_, width_of(x_.tick_text(x_.ticks.back())) / 2 + 4);
    x_.to = plot.width - gutter_;
    y_.from = plot.height - 40;
    y_.to = 30;
  }

  Html html() const {
    if (points_ == 0) {
      return svg_frame(plot_.title, plot_.width, plot_.height,
                       svg_text(plot_.width / 2, plot_.height / 2, "nothing to draw", "quiet", "middle"));
    }
    Html content = axes();
    for (const PlotSeries& one : plot_.series) {
      if (one.style == PlotSeries::Style::faint) content += curve(one);
    }
    for (const PlotRule& rule : plot_.rules)
      content += this->rule(rule);
    for (const PlotSeries& one : plot_.series) {
      if (one.style != PlotSeries::Style::faint) content += curve(one);
    }
    if (labelled_) content += labels();
    return svg_frame(plot_.title, plot_.width, plot_.height, content);
  }

 private:
  static bool has_label(const PlotSeries& series) {
    return series.style != PlotSeries::Style::faint && !series.name.empty();
  }
  bool takes(const PlotPoint& p) const { return x_.takes(p.x) && y_.takes(p.y); }

  Html axes() const {
    Html content = svg_text(4, 14, plot_.y.label, "axis");
    for (const double tick : y_.ticks) {
      content += svg_line(x_.from, y_(tick), x_.to, y_(tick), "grid");
      content += svg_text(x_.from - 8, y_(tick) + 4, y_.tick_text(tick), "tick", "end");
    }
    double free_from = -1e9;
    for (const double tick : x_.ticks) {
      const std::string label = x_.tick_text(tick);
      content += svg_line(x_(tick), y_.from, x_(tick), y_.from + 4, "edge");
      if (x_(tick) - width_of(label) / 2 < free_from) continue;  // it would touch the label before it
      content += svg_text(x_(tick), y_.from + 18, label, "tick", "middle");
      free_from = x_(tick) + width_of(label) / 2 + 8;
    }
    content += svg_line(x_.from, y_.from, x_.to, y_.from, "edge");
    return content + svg_text((x_.from + x_.to) / 2, y_.from + 34, plot_.x.label, "axis", "middle");
  }

  Html curve(const PlotSeries& series) const {
    std::vector<PlotPoint> points = series.points;
    if (points.size() > kMostPoints) points = thinned(points, kMostPoints);
    std::string path;
    std::size_t in_a_row = 0, drawn = 0;
    Html dots;
    const bool dotted = series.style == PlotSeries::Style::dotted_line;
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (!takes(points[i])) {
        in_a_row = 0;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", in_a_row == 0 ? "M" : "L", x_(points[i].x), y_(points[i].y));
      const bool lonely = in_a_row == 0 && (i + 1 == points.size() || !takes(points[i + 1]));
      if (dotted || lonely) dots += dot(points[i]);
      ++in_a_row;
      ++drawn;
    }
    if (drawn == 0) return {};
    const char* styles[] = {"line", "line", "faint", "reference"};
    Html content = element("path", {{"d", path}, {"class", styles[static_cast<int>(series.style)]}});
    if (!dots.empty()) content += dots;
    return tag("g", fmt::format("c{}", std::clamp(series.colour, 1, 6)), content);
  }

  Html dot(const PlotPoint& p) const {
    const double radius = 3 * std::sqrt(std::clamp(p.area, 0.5, 12.0));
    return element("circle", {{"cx", fmt::format("{:.1f}", x_(p.x))},
                              {"cy", fmt::format("{:.1f}", y_(p.y))},
                              {"r", fmt::format("{:.1f}", radius)},
                              {"class", "dot"}});
  }

  Html rule(const PlotRule& rule) const {
    if (!x_.takes(rule.x) || rule.x < x_.low || rule.x > x_.high) return {};
    const double at = x_(rule.x);
    const bool left = at + width_of(rule.name) + 8 > x_.to;
    const double begin = left ? at - 5 - width_of(rule.name) : at + 5;
    const double y =
        begin < width_of(plot_.y.label) + 20 ? y_.to + 12 : 14;  // beside the axis' label where both fit
    return svg_line(at, y_.from, at, y - 10, "rule") +
           svg_text(left ? at - 5 : at + 5, y, rule.name, "quiet", left ? "end" : "start");
  }

  /// Names at the ends of the curves, pushed apart where they would touch.
  Html labels() const {
    struct Label {
      const PlotSeries* series;
      double wanted, y, x;
    };
    std::vector<Label> all;
    for (const PlotSeries& series : plot_.series) {
      const auto last =
          std::find_if(series.points.rbegin(), series.points.rend(), [&](const auto& p) { return takes(p); });
      if (!has_label(series) || last == series.points.rend()) continue;
      all.push_back({&series, y_(last->y), 0, x_(last->x)});
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Label& a, const Label& b) { return a.wanted < b.wanted; });
    double free_from = y_.to - 8;
    for (Label& label : all) {
      label.y = std::max(label.wanted, free_from);
      free_from = label.y + kLine;
    }
    double free_to = y_.from + 4;
    for (auto label = all.rbegin(); label != all.rend(); ++label) {
      label->y = std::min(label->y, free_to);
      free_to = label->y - kLine;
    }
    Html content;
    for (const Label& label : all) {
      const char* css_class = label.series->style == PlotSeries::Style::reference ? "reference" : "line";
      Html one = svg_line(x_.to + 12, label.y, x_.to + 24, label.y, css_class);
      one += element("path", {{"class", "leader"},
                              {"d", fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}", label.x + 4, label.wanted,
                                                x_.to + 10, label.y)}});
      one += svg_text(x_.to + 28, label.y + 4, label.series->name, "name");
      content += tag("g", fmt::format("c{}", std::clamp(label.series->colour, 1, 6)), one);
    }
    return content;
  }

  const Plot& plot_;
  Scale x_, y_;
  std::size_t points_ = 0;
  double gutter_ = 14;
  bool labelled_ = false;
};

}  // namespace

Html svg_of(const Plot& plot) {
  return Drawing(plot).html();
}

Html svg_of(const StackedBars& chart) {
  constexpr double kTop = 34, kBar = 18, kRow = 30, kBottom = 42;
  double left = 40, right = 20, longest = 0;
  for (const StackedBars::Bar& bar : chart.bars) {
    left = std::max(left, width_of(bar.name) + 14);
    right = std::max(right, width_of(bar.remark) + 20);
    double sum = 0;
    for (const double part : bar.parts)
      sum += std::isfinite(part) ? std::max(0.0, part) : 0;
    longest = std::max({longest, sum, std::isfinite(bar.mark) ? bar.mark : 0});
  }
  const double height = kTop + kRow * static_cast<double>(chart.bars.size()) + kBottom;
  if (longest <= 0) {
    return svg_frame(chart.title, chart.width, 60,
                     svg_text(chart.width / 2, 34, "nothing to draw", "quiet", "middle"));
  }
  Scale x = scale_of({.label = chart.axis, .min = 0, .max = {}}, {0, longest}, 8, true);
  x.from = left;
  x.to = chart.width - right;
  const double bottom = height - kBottom;
  Html content;
  for (const double tick : x.ticks) {
    content += svg_line(x(tick), kTop - 4, x(tick), bottom, "grid");
    content += svg_text(x(tick), bottom + 18, x.tick_text(tick), "tick", "middle");
  }
  content += svg_text((x.from + x.to) / 2, bottom + 34, chart.axis, "axis", "middle");
  const auto colour_of = [&](std::size_t part) {
    return fmt::format("c{}",
                       part < chart.colours.size() ? chart.colours[part] : static_cast<int>(part % 6 + 1));
  };
  double at = left;
  for (std::size_t p = 0; p < chart.parts.size(); ++p) {
    content += tag("g", colour_of(p),
                   element("rect", {{"x", fmt::format("{:.1f}", at)},
                                    {"y", "6"},
                                    {"width", "11"},
                                    {"height", "11"},
                                    {"class", "bar"}}));
    content += svg_text(at + 16, 16, chart.parts[p], "name");
    at += width_of(chart.parts[p]) + 38;
  }
  if (!chart.mark.empty()) {
    content += svg_line(at + 4, 4, at + 4, 19, "mark") + svg_text(at + 12, 16, chart.mark, "name");
  }
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const StackedBars::Bar& bar = chart.bars[i];
    const double top = kTop + kRow * static_cast<double>(i) + (kRow - kBar) / 2;
    content += svg_text(left - 12, top + 13, bar.name, "name", "end");
    double begin = 0;
    for (std::size_t p = 0; p < bar.parts.size(); ++p) {
      if (!std::isfinite(bar.parts[p]) || bar.parts[p] <= 0) continue;
      content += tag("g", colour_of(p),
                     element("rect", {{"x", fmt::format("{:.2f}", x(begin))},
                                      {"y", fmt::format("{:.1f}", top)},
                                      {"width", fmt::format("{:.2f}", x(begin + bar.parts[p]) - x(begin))},
                                      {"height", fmt::format("{:.0f}", kBar)},
                                      {"class", "bar"}}));
      begin += bar.parts[p];
    }
    if (bar.mark > 0) content += svg_line(x(bar.mark), top - 4, x(bar.mark), top + kBar + 4, "mark");
    content += svg_text(x.to + 10, top + 13, bar.remark, "quiet");
  }
  return svg_frame(chart.title, chart.width, height, content);
}

}  // namespace tessera
