#pragma once

#include <string>
#include <vector>

#include "pipeline/report/run_record.h"
#include "pipeline/report/svg_plot.h"

namespace tessera {

// Curves for the plots of one run and of two.

/// A column of metrics.csv over the iterations, without its empty fields.
PlotSeries metric_curve(const MetricsTable& metrics, const std::string& column, const std::string& name,
                        int colour, PlotSeries::Style style);
/// The curve smoothed by a running mean over about a fiftieth of the iterations.
PlotSeries smoothed(PlotSeries series);

/// A score in the rows of "volume" over their thresholds.
PlotSeries threshold_curve(const Json& evaluation, const std::string& key, const std::string& name,
                           int colour);
/// Precision over recall.
PlotSeries precision_recall_curve_of(const Json& evaluation, const std::string& name, int colour);
/// Share of interior over mean probability, by bin; a dot's area grows with its bin's pixels.
PlotSeries reliability_curve(const Json& evaluation, const std::string& name, int colour);
/// The diagonal: perfect calibration.
PlotSeries diagonal();
/// A value of each entry of "sections", over the section's number.
PlotSeries section_curve(const Json& evaluation, const std::string& key, const std::string& name, int colour);

/// Whether any of the curves has a point.
bool any_points(const std::vector<PlotSeries>& series);

/// The last iteration that metrics.csv marks as the best; NaN without one.
double best_iteration(const MetricsTable& metrics);

}  // namespace tessera
