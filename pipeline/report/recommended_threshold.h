#pragma once

#include <optional>
#include <string>

#include "pipeline/evaluate/evaluation_json.h"

namespace tessera {

/// A threshold of the probability to work with, and why, in one sentence.
struct RecommendedThreshold {
  double threshold = 0;
  std::string reason;
};

/// From the scores of a probability at each threshold: where cells are separated best (V^Rand_thin, else
/// Rand F), else where F is highest. None without these scores.
std::optional<RecommendedThreshold> recommended_threshold(const Json& evaluation);

}  // namespace tessera
