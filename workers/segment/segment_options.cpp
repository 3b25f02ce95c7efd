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

LinkageRule rule_of(MergeLinkage linkage) {
  switch (linkage) {
    case MergeLinkage::quantile25:
      return {Linkage::quantile, 25};
    case MergeLinkage::quantile50:
      return {Linkage::quantile, 50};
    case MergeLinkage::quantile75:
      return {Linkage::quantile, 75};
    case MergeLinkage::quantile85:
      return {Linkage::quantile, 85};
    case MergeLinkage::maximum:
      return {.linkage = Linkage::maximum};
    case MergeLinkage::rounds:
    case MergeLinkage::mean:
      break;
  }
  return {};
}

MergeStage threshold_stage(double threshold) {
  return {MergeStage::Kind::mean, score_of_probability(threshold), weight_threshold(threshold)};
}

}  // namespace tessera
