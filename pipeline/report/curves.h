#pragma once

#include <string>
#include <vector>

#include "pipeline/report/run_record.h"
#include "pipeline/report/svg_plot.h"

namespace tessera {

// Curves of a run, in the shape that the plots of one run and of two have in common.

/// A column of metrics.csv over the iterations, as it is: empty fields are left out.
PlotSeries metric_curve(const MetricsTable& metrics, const std::string& column, const std::string& name,
                        int colour, PlotSeries::Style style);
/// The same smoothed: a running mean over about a fiftieth of the iterations.
PlotSeries smoothed(PlotSeries series);

/// A score in the rows of "volume" over their thresholds.
PlotSeries threshold_curve(const Json& evaluation, const std::string& key, const std::string& name,
                           int colour);
/// Precision over recall.
PlotSeries precision_recall_curve_of(const Json& evaluation, const std::string& name, int colour);
/// Share of interior over mean probability, by bin; a dot's area grows with its bin's pixels.
PlotSeries reliability_curve(const Json& evaluation, const std::string& name, int colour);
/// The line of the perfectly calibrated.
PlotSeries diagonal();
/// A number of each of "sections", over the section's number.
PlotSeries section_curve(const Json& evaluation, const std::string& key, const std::string& name, int colour);

/// Whether any of the curves has a point.
bool any_points(const std::vector<PlotSeries>& series);

/// The iteration that metrics.csv marks as the best last; NaN where it marks none.
double best_iteration(const MetricsTable& metrics);

}  // namespace tessera
