#include "pipeline/report/svg_plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>

namespace tessera {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

/// The coordinates of the first path with this class.
std::vector<double> path_numbers(const std::string& svg, const std::string& css_class) {
  std::smatch found;
  if (!std::regex_search(svg, found, std::regex("<path d=\"([^\"]*)\" class=\"" + css_class + "\"")))
    return {};
  std::vector<double> numbers;
  const std::string path = found[1];
  const std::regex number("-?[0-9.]+");
  for (std::sregex_iterator i(path.begin(), path.end(), number), end; i != end; ++i)
    numbers.push_back(std::stod(i->str()));
  return numbers;
}

Plot plot_of(std::vector<PlotPoint> points) {
  Plot plot{.title = "t",
            .x = {.label = "x", .min = {}, .max = {}},
            .y = {.label = "y", .min = {}, .max = {}},
            .series = {},
            .rules = {}};
  plot.series.push_back({"", std::move(points), PlotSeries::Style::line, 1});
  return plot;
}

TEST(NiceTicks, AreRoundAndEncloseTheValues) {
  EXPECT_EQ(nice_ticks(0, 1, 5), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(nice_ticks(3, 97, 5), (std::vector<double>{0, 20, 40, 60, 80, 100}));
  EXPECT_EQ(nice_ticks(97, 3, 5), nice_ticks(3, 97, 5));
  for (const auto& [low, high] :
       {std::pair(-3.7, 12.0), {1e-9, 2e-9}, {-5e12, -4e12}, {0.0713, 0.0719}, {-1e-300, 1e-300}}) {
    const std::vector<double> ticks = nice_ticks(low, high, 5);
    ASSERT_GE(ticks.size(), 3U) << low;
    EXPECT_LE(ticks.size(), 9U) << low;
    EXPECT_LE(ticks.front(), low + 1e-9 * std::abs(low));
    EXPECT_GE(ticks.back(), high - 1e-9 * std::abs(high));
    for (std::size_t i = 1; i < ticks.size(); ++i)
      EXPECT_GT(ticks[i], ticks[i - 1]);
  }
}

TEST(NiceTicks, AnEmptyRange) {
  for (const double value : {0.0, 1.0, -7.5, 1e12, 1e-200}) {
    const std::vector<double> ticks = nice_ticks(value, value, 5);
    ASSERT_GE(ticks.size(), 2U) << value;
    EXPECT_LT(ticks.front(), value);
    EXPECT_GT(ticks.back(), value);
  }
  for (const auto& [low, high] : {std::pair(kNan, 1.0), {0.0, kInf}, {-kInf, kInf}, {-1.7e308, 1.7e308}}) {
    const std::vector<double> ticks = nice_ticks(low, high, 5);
    ASSERT_GE(ticks.size(), 2U);
    for (const double tick : ticks)
      EXPECT_TRUE(std::isfinite(tick));
  }
}

TEST(PlotTicks, TheSmallestAndLargestNumbersHaveTicks) {
  const double least = std::numeric_limits<double>::denorm_min(), most = std::numeric_limits<double>::max();
  const std::vector<double> values{0, least, 2 * least, 1e-310, 2.3e-308, 1e-290, 1e-289, 1, 1e290, most};
  for (const double low : values) {
    for (const double high : values) {
      for (const double sign : {1.0, -1.0}) {
        const std::vector<double> ticks = nice_ticks(sign * low, sign * high, 5);
        ASSERT_GE(ticks.size(), 2U) << low << " to " << high;
        ASSERT_LE(ticks.size(), 20U) << low << " to " << high;
        for (const double tick : ticks)
          EXPECT_TRUE(std::isfinite(tick)) << low << " to " << high;
      }
      const std::vector<double> logarithmic = logarithmic_ticks(low, high);
      ASSERT_GE(logarithmic.size(), 2U) << low << " to " << high;
      ASSERT_LE(logarithmic.size(), 20U) << low << " to " << high;
      for (const double tick : logarithmic)
        EXPECT_TRUE(std::isfinite(tick) && tick > 0) << low << " to " << high;
    }
  }
}

TEST(LogarithmicTicks, PowersAndValuesBetweenThem) {
  EXPECT_EQ(logarithmic_ticks(0.002, 400).size(), 7U);
  EXPECT_EQ(logarithmic_ticks(1, 10), (std::vector<double>{1, 2, 5, 10}));
  EXPECT_EQ(logarithmic_ticks(3, 4), (std::vector<double>{2, 5}));
  EXPECT_LE(logarithmic_ticks(1e-300, 1e300).size(), 12U);
  for (const auto& [low, high] : {std::pair(0.0, 1.0), {-1.0, 1.0}, {kNan, 2.0}, {5.0, 5.0}, {10.0, 10.0}}) {
    const std::vector<double> ticks = logarithmic_ticks(low, high);
    ASSERT_GE(ticks.size(), 2U);
    EXPECT_GT(ticks.front(), 0);
  }
}

TEST(TickText, AsManyDecimalsAsTheStepNeeds) {
  EXPECT_EQ(tick_text(0.25, 0.05), "0.25");
  EXPECT_EQ(tick_text(0.30000000000000004, 0.1), "0.3");
  EXPECT_EQ(tick_text(1500, 500), "1,500");
  EXPECT_EQ(tick_text(-2, 1), "\u22122");
  EXPECT_EQ(tick_text(-0.0, 0.5), "0.0");
  EXPECT_EQ(tick_text(2e7, 1e7), "2e+07");
  EXPECT_EQ(tick_text(0.00002, 0.00001), "2e-05");
}

TEST(SvgPlot, ScalesValuesToPixels) {
  Plot plot = plot_of({{0, 0}, {5, 50}, {10, 100}});
  const std::vector<double> p = path_numbers(svg_of(plot).str(), "line");
  ASSERT_EQ(p.size(), 6U);
  EXPECT_NEAR(p[2], (p[0] + p[4]) / 2, 0.11) << "x is linear";
  EXPECT_NEAR(p[3], (p[1] + p[5]) / 2, 0.11) << "y is linear";
  EXPECT_GT(p[1], p[5]) << "larger values stand higher";
  EXPECT_NEAR(p[4], plot.width - 14, 0.1) << "the last value is at the right edge";

  plot = plot_of({{0, 0.01}, {5, 0.1}, {10, 1}});
  plot.y.logarithmic = true;
  const std::vector<double> q = path_numbers(svg_of(plot).str(), "line");
  ASSERT_EQ(q.size(), 6U);
  EXPECT_NEAR(q[3], (q[1] + q[5]) / 2, 0.11) << "decades are equally spaced";
}

TEST(SvgPlot, NonFiniteValuesLeaveAGap) {
  const std::string svg =
      svg_of(plot_of({{0, 1}, {1, 2}, {2, kNan}, {3, 1}, {4, 2}, {5, kInf}, {6, 3}})).str();
  std::smatch found;
  ASSERT_TRUE(std::regex_search(svg, found, std::regex("<path d=\"([^\"]*)\" class=\"line\"")));
  EXPECT_EQ(count(found[1], "M"), 3U);
  EXPECT_EQ(count(svg, "<circle"), 1U) << "an isolated point is a dot";
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  Plot logarithmic = plot_of({{0, 1}, {1, 0}, {2, 10}});
  logarithmic.y.logarithmic = true;
  EXPECT_EQ(count(svg_of(logarithmic).str(), "<circle"), 2U) << "zero cannot be shown on a logarithmic axis";
}

TEST(SvgPlot, OnePointAndNoPoint) {
  const std::string one = svg_of(plot_of({{3, 7}})).str();
  EXPECT_EQ(count(one, "<circle"), 1U);
  EXPECT_EQ(one.find("nan"), std::string::npos);
  for (const Plot& plot : {plot_of({}), plot_of({{kNan, 1}, {1, kNan}}),
                           Plot{.title = "t", .x = {}, .y = {}, .series = {}, .rules = {}}}) {
    const std::string svg = svg_of(plot).str();
    EXPECT_NE(svg.find("nothing to draw"), std::string::npos);
    EXPECT_EQ(count(svg, "<path"), 0U);
  }
}

TEST(SvgPlot, NamesAtTheEndsDoNotOverlap) {
  Plot plot = plot_of({{0, 0}, {1, 1}});
  plot.series.clear();
  for (int i = 1; i <= 6; ++i)
    plot.series.push_back(
        {"curve " + std::to_string(i), {{0, 0}, {1, 1 + 1e-3 * i}}, PlotSeries::Style::line, i});
  const std::string svg = svg_of(plot).str();
  std::vector<double> heights;
  const std::regex name("<text x=\"[0-9.]+\" y=\"([0-9.]+)\" class=\"name\"");
  for (std::sregex_iterator i(svg.begin(), svg.end(), name), end; i != end; ++i)
    heights.push_back(std::stod((*i)[1]));
  ASSERT_EQ(heights.size(), 6U);
  for (std::size_t i = 1; i < heights.size(); ++i)
    EXPECT_GE(heights[i] - heights[i - 1], 14.9);
  for (int i = 1; i <= 6; ++i)
    EXPECT_NE(svg.find("class=\"c" + std::to_string(i) + "\""), std::string::npos);
}

TEST(SvgPlot, WholeNumbersOnly) {
  Plot plot = plot_of({{16, 1}, {17, 2}, {18, 3}});
  plot.x.whole = true;
  const std::string svg = svg_of(plot).str();
  EXPECT_EQ(svg.find(">16.5<"), std::string::npos);
  EXPECT_NE(svg.find(">17<"), std::string::npos);
}

TEST(SvgPlot, NamesAreEscaped) {
  Plot plot = plot_of({{0, 0}, {1, 1}});
  plot.title = plot.x.label = plot.series[0].name = "\"><script>x</script>";
  plot.rules.push_back({0.5, "<b>"});
  const std::string svg = svg_of(plot).str();
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(svg.find("<b>"), std::string::npos);
}

TEST(SvgBars, WidthsAddUp) {
  StackedBars bars{
      .title = "t", .axis = "seconds", .parts = {"a", "b"}, .colours = {}, .mark = "m", .bars = {}};
  bars.bars = {{"one", "", {1, 3}, 4}, {"two", "", {2, kNan}, 0}};
  const std::string svg = svg_of(bars).str();
  std::vector<double> widths;
  const std::regex rect("width=\"([0-9.]+)\" height=\"18\"");
  for (std::sregex_iterator i(svg.begin(), svg.end(), rect), end; i != end; ++i)
    widths.push_back(std::stod((*i)[1]));
  ASSERT_EQ(widths.size(), 3U) << "a non-finite value has no bar";
  EXPECT_NEAR(widths[1], 3 * widths[0], 0.1);
  EXPECT_NEAR(widths[2], 2 * widths[0], 0.1);
  bars.bars.clear();
  EXPECT_NE(svg_of(bars).str().find("nothing to draw"), std::string::npos);
  bars.bars = {{"zero", "", {0, 0}, 0}};
  EXPECT_NE(svg_of(bars).str().find("nothing to draw"), std::string::npos);
}

TEST(Thinned, MeansOfNeighbours) {
  const std::vector<PlotPoint> four{{0, 0}, {1, 2}, {2, 4}, {3, 8}};
  EXPECT_EQ(thinned(four, 10).size(), 4U);
  const std::vector<PlotPoint> two = thinned(four, 2);
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0].x, 0.5);
  EXPECT_EQ(two[0].y, 1);
  EXPECT_EQ(two[1].y, 6);
  EXPECT_EQ(thinned({{0, kNan}, {1, 1}}, 5).size(), 1U);
  EXPECT_TRUE(thinned({}, 5).empty());
}

}  // namespace
}  // namespace tessera
