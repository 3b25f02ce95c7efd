#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "pipeline/report/svg_plot.h"

namespace tessera {

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!std::isfinite(low) || !std::isfinite(high)) return {0, 0.5, 1};
  if (low > high) std::swap(low, high);
  if (!std::isfinite(high - low)) return {-1e308, 0, 1e308};
  // The ticks of a smaller range would be equal in double, or their step would not be a normal number.
  constexpr double kSmallest = 1e-290, kLargest = std::numeric_limits<double>::max();
  const double magnitude = std::max(std::abs(low), std::abs(high));
  if (high - low <= 1e-12 * magnitude || high - low < kSmallest) {
    const double half = magnitude == 0 ? 0.5 : std::max(0.1 * magnitude, kSmallest);
    low = std::max(low - half, -kLargest);
    high = std::min(high + half, kLargest);
  }
  const double rough = (high - low) / std::max(1, count);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double share = rough / power;
  const double step = (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10) * power;
  std::vector<double> ticks;
  const auto first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  for (double i = first; i <= last; ++i)
    ticks.push_back(std::clamp(i * step, -kLargest, kLargest) + 0.0);
  return ticks;
}

std::vector<double> logarithmic_ticks(double low, double high) {
  if (!std::isfinite(low) || !std::isfinite(high) || low <= 0 || high <= 0) return {0.1, 1, 10};
  if (low > high) std::swap(low, high);
  low = std::clamp(low, 1e-290, 1e290);  // so that no tick is 0 or infinite
  high = std::clamp(high, 1e-290, 1e290);
  const double first = std::floor(std::log10(low) + 1e-9), last = std::ceil(std::log10(high) - 1e-9);
  std::vector<double> all;
  const bool few = last - first <= 2;
  const double stride = std::max(1.0, std::ceil((last - first) / 8));
  for (double power = first; power <= last; power += few ? 1 : stride) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor == 1 || few) all.push_back(factor * std::pow(10, power));
    }
  }
  // Keep the ticks that the values need.
  const auto needed_from = std::upper_bound(all.begin(), all.end(), low * (1 + 1e-9));
  const auto needed_to = std::lower_bound(all.begin(), all.end(), high * (1 - 1e-9));
  const auto begin = needed_from == all.begin() ? all.begin() : needed_from - 1;
  const auto end = needed_to == all.end() ? all.end() : needed_to + 1;
  std::vector<double> ticks(begin, end);
  if (ticks.size() < 2) ticks = {low / 2, low * 2};
  return ticks;
}

std::string tick_text(double tick, double step) {
  const double magnitude = std::max(std::abs(tick), std::abs(step));
  if (magnitude >= 1e7 || (magnitude > 0 && std::abs(step) < 1e-4)) return fmt::format("{:.3g}", tick);
  if (std::abs(step) >= 1)
    return std::abs(tick - std::round(tick)) < 1e-9 ? with_commas(tick) : number_text(tick, 1);
  const int decimals =
      step == 0 ? 2 : std::clamp(static_cast<int>(std::ceil(-std::log10(std::abs(step)) - 1e-9)), 0, 6);
  return number_text(tick, decimals);
}

std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points, std::size_t count) {
  std::vector<PlotPoint> finite;
  for (const PlotPoint& p : points) {
    if (std::isfinite(p.x) && std::isfinite(p.y)) finite.push_back(p);
  }
  if (finite.size() <= count || count == 0) return finite;
  std::vector<PlotPoint> means;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = i * finite.size() / count, end = (i + 1) * finite.size() / count;
    PlotPoint mean{0, 0, 1};
    for (std::size_t k = begin; k < end; ++k) {
      mean.x += finite[k].x;
      mean.y += finite[k].y;
    }
    mean.x /= static_cast<double>(end - begin);
    mean.y /= static_cast<double>(end - begin);
    means.push_back(mean);
  }
  return means;
}

}  // namespace tessera
