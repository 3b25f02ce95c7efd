#include "pipeline/report/recommended_threshold.h"

#include <fmt/format.h>

#include <cmath>

#include "pipeline/report/json_reading.h"

namespace tessera {
namespace {

/// Scores within this of the best are as good.
constexpr double kAsGood = 0.005;

struct Criterion {
  const char* key;
  const char* aim;
  const char* name;
};
// The order of preference: a merged cell costs more work to mend than a pixel of its border.
constexpr Criterion kCriteria[] = {
    {"rand_thin_f_macro", "cells are separated best", "V^Rand_thin, the mean over the sections,"},
    {"rand_f_macro", "cells are separated best", "Rand F, the mean over the sections,"},
    {"f", "most pixels of the interior are right", "F of the interior"}};

}  // namespace

std::optional<RecommendedThreshold> recommended_threshold(const Json& evaluation) {
  const Json& rows = list_at(evaluation, {"volume"});
  for (const Criterion& one : kCriteria) {
    const double best = number_at(evaluation, {"best", one.key, "value"}),
                 at = number_at(evaluation, {"best", one.key, "threshold"});
    if (!std::isfinite(best) || !std::isfinite(at)) continue;
    double from = at, to = at;
    for (const Json& row : rows) {  // ascending thresholds
      const double threshold = number_at(row, {"threshold"}), score = number_at(row, {one.key});
      if (!(score >= best - kAsGood)) {
        if (threshold < at) from = at;  // not connected to the best one
        if (threshold > at) break;
        continue;
      }
      if (threshold < from) from = threshold;
      if (threshold > to) to = threshold;
    }
    const std::string range =
        from < to ? fmt::format("; between {:.2f} and {:.2f} it is lower by at most {}", from, to, kAsGood)
                  : std::string();
    return RecommendedThreshold{
        at, fmt::format("At {:.2f} {}: {} is highest there, {:.4f}{}.", at, one.aim, one.name, best, range)};
  }
  return std::nullopt;
}

}  // namespace tessera
