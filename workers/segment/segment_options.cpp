#include "workers/segment/segment_options.h"

#include <algorithm>
#include <cmath>

namespace tessera {

std::int32_t weight_of_probability(double probability) {
  return static_cast<std::int32_t>(std::floor(std::clamp(probability, 0.0, 1.1) * kWeightOne + 0.5));
}

std::uint64_t score_of_probability(double probability) {
  return static_cast<std::uint64_t>(
      std::floor(std::clamp(probability, 0.0, 1.1) * static_cast<double>(kScoreOne) + 0.5));
}

MergeStage threshold_stage(double threshold) {
  return {MergeStage::Kind::mean, score_of_probability(threshold), weight_threshold(threshold)};
}

}  // namespace tessera
