#include "pipeline/report/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "pipeline/report/json_reading.h"

namespace tessera {

PlotSeries metric_curve(const MetricsTable& metrics, const std::string& column, const std::string& name,
                        int colour, PlotSeries::Style style) {
  PlotSeries series{name, {}, style, colour};
  const std::vector<double> x = metrics.column("iteration"), y = metrics.column(column);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(x[i]) && std::isfinite(y[i])) series.points.push_back({x[i], y[i]});
  }
  return series;
}

PlotSeries smoothed(PlotSeries series) {
  // Forward and backward exponential means, so that the curve does not lag behind.
  const double keep = std::exp(-50.0 / std::max<double>(50, static_cast<double>(series.points.size())));
  const auto pass = [&](auto begin, auto end) {
    double mean = 0, weight = 0;
    for (auto p = begin; p != end; ++p) {
      mean = keep * mean + (1 - keep) * p->y;
      weight = keep * weight + (1 - keep);
      p->y = mean / weight;
    }
  };
  if (series.points.size() > 50) {
    pass(series.points.begin(), series.points.end());
    pass(series.points.rbegin(), series.points.rend());
  }
  return series;
}

PlotSeries threshold_curve(const Json& evaluation, const std::string& key, const std::string& name,
                           int colour) {
  PlotSeries series{name, {}, PlotSeries::Style::dotted_line, colour};
  for (const Json& row : list_at(evaluation, {"volume"})) {
    const PlotPoint p{number_at(row, {"threshold"}), number_at(row, {key})};
    if (std::isfinite(p.x) && std::isfinite(p.y)) series.points.push_back(p);
  }
  return series;
}

PlotSeries precision_recall_curve_of(const Json& evaluation, const std::string& name, int colour) {
  PlotSeries series{name, {}, PlotSeries::Style::line, colour};
  for (const Json& row : list_at(evaluation, {"precision_recall"})) {
    const PlotPoint p{number_at(row, {"recall"}), number_at(row, {"precision"})};
    if (std::isfinite(p.x) && std::isfinite(p.y)) series.points.push_back(p);
  }
  std::reverse(series.points.begin(),
               series.points.end());  // the file has thresholds from low to high: recall falls
  return series;
}

PlotSeries reliability_curve(const Json& evaluation, const std::string& name, int colour) {
  PlotSeries series{name, {}, PlotSeries::Style::dotted_line, colour};
  double most = 0;
  for (const Json& bin : list_at(evaluation, {"calibration", "bins"})) {
    const double pixels = number_at(bin, {"pixels"});
    const PlotPoint p{number_at(bin, {"mean_probability"}), number_at(bin, {"interior_share"}), pixels};
    if (!std::isfinite(p.x) || !std::isfinite(p.y) || !(pixels > 0)) continue;
    series.points.push_back(p);
    most = std::max(most, pixels);
  }
  for (PlotPoint& p : series.points)
    p.area = std::max(1.0, 8 * p.area / most);
  return series;
}

PlotSeries diagonal() {
  return {"perfect", {{0, 0}, {1, 1}}, PlotSeries::Style::reference, 1};
}

PlotSeries section_curve(const Json& evaluation, const std::string& key, const std::string& name,
                         int colour) {
  PlotSeries series{name, {}, PlotSeries::Style::dotted_line, colour};
  const Json& sections = list_at(evaluation, {"sections"});
  if (sections.size() > 80) series.style = PlotSeries::Style::line;
  for (const Json& one : sections) {
    const PlotPoint p{number_at(one, {"section"}), number_at(one, {key})};
    if (std::isfinite(p.x) && std::isfinite(p.y)) series.points.push_back(p);
  }
  return series;
}

bool any_points(const std::vector<PlotSeries>& series) {
  return std::any_of(series.begin(), series.end(), [](const PlotSeries& one) {
    return !one.points.empty() && one.style != PlotSeries::Style::reference;
  });
}

double best_iteration(const MetricsTable& metrics) {
  const std::vector<double> iterations = metrics.column("iteration"), best = metrics.column("best");
  double last = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < iterations.size(); ++i) {
    if (best[i] == 1) last = iterations[i];
  }
  return last;
}

}  // namespace tessera
