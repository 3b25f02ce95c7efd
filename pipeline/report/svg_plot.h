#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/report/html.h"

namespace tessera {

struct PlotPoint {
  double x = 0, y = 0;
  double area = 1;  ///< of its dot, relative to a plain one
};

/// A curve. A point that is not finite (or not positive on a logarithmic axis) leaves a gap.
struct PlotSeries {
  enum class Style {
    line,
    dotted_line,  ///< a line with a dot at every point
    faint,        ///< a thin pale line, behind the others, without a label
    reference     ///< dashed, in the ink's colour
  };
  std::string name;  ///< label at the line's end
  std::vector<PlotPoint> points;
  Style style = Style::line;
  int colour = 1;  ///< 1 to 6, of Okabe and Ito's
};

struct PlotAxis {
  std::string label;               ///< with the unit
  std::optional<double> min, max;  ///< none: from the points, out to whole ticks
  bool logarithmic = false;
  bool whole = false;  ///< ticks at whole numbers only
};

/// An axis from 0 to 1.
inline PlotAxis share_axis(const std::string& label) {
  return {.label = label, .min = 0, .max = 1};
}

/// A vertical line at x, with a label.
struct PlotRule {
  double x = 0;
  std::string name;
};

struct Plot {
  std::string title;
  PlotAxis x, y;
  std::vector<PlotSeries> series;
  std::vector<PlotRule> rules;
  double width = 520, height = 270;  ///< in CSS pixels where there is room
};

/// An <svg> with the colours of the page: `currentColor` and the variables --c1 to --c6. A plot without
/// points shows a message.
Html svg_of(const Plot& plot);

/// Bars of stacked values, one below the other.
struct StackedBars {
  struct Bar {
    std::string name, remark;  ///< left of it, right of it
    std::vector<double> parts;
    double mark = 0;  ///< position of a line across the bar; 0: no line
  };
  std::string title, axis;  ///< the axis with its unit
  std::vector<std::string> parts;
  std::vector<int> colours;  ///< of the parts: 1 to 6, or 0 for grey
  std::string mark;          ///< meaning of that line
  std::vector<Bar> bars;
  double width = 1060;
};
Html svg_of(const StackedBars& bars);

/// Ticks at 1, 2 or 5 times a power of ten, about `count` of them, the first at or below `low`, the last at
/// or above `high`. Where both are equal, or not finite, a range around them.
std::vector<double> nice_ticks(double low, double high, int count);
/// Powers of ten from at or below `low` to at or above `high`, with 2 and 5 between them where they are few.
std::vector<double> logarithmic_ticks(double low, double high);
/// A tick with as many decimals as its neighbours need: "0.25", "1,500", "2e7".
std::string tick_text(double tick, double step);

/// At most `count` points, each the mean of as many neighbours; values that are not finite are left out.
std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points, std::size_t count);

}  // namespace tessera
