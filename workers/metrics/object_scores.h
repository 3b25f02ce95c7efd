#pragma once

#include <array>
#include <cstdint>

#include "workers/metrics/contingency.h"
#include "workers/metrics/ratio.h"

namespace tessera {

/// Levels of intersection over union above which a pair matches: 0.5, 0.55, ... 0.95. "Above", as in the 2018
/// Data Science Bowl: with more than half, no object can match two others; with exactly 0.5 it could.
constexpr int kOverlapLevels = 10;
constexpr double overlap_level(int index) {
  return 0.05 * (10 + index);
}

/// Sums over objects. They add up over sections.
struct ObjectSums {
  double truth = 0, predicted = 0;  ///< objects on either side; background is none
  double jaccard = 0;               ///< sum over the true objects of the Cell Tracking Challenge's measure
  std::array<double, kOverlapLevels> matched{};  ///< true objects with a match above each level

  ObjectSums& operator+=(const ObjectSums& other);
  friend bool operator==(const ObjectSums&, const ObjectSums&) = default;
};

/// Intersection over union of two objects of `truth` and `predicted` pixels that share `shared`.
double jaccard(std::int64_t shared, std::int64_t truth, std::int64_t predicted);
/// The number of levels below the pair's overlap, 0 to kOverlapLevels; computed in integers, without
/// rounding.
int levels_reached(std::int64_t shared, std::int64_t truth, std::int64_t predicted);
/// Whether the predicted object covers more than half of the true one. It is then the match in the Cell
/// Tracking Challenge's SEG (Maska et al. 2014), and the only one whose overlap can be above 0.5.
inline bool covers_majority(std::int64_t shared, std::int64_t truth) {
  return 2 * shared > truth;
}

/// The objects of one section.
ObjectSums object_sums(const Contingency& table);

/// Scores from the sums. 0 / 0 is undefined: SEG without true objects, for example.
struct ObjectScores {
  double seg = kUndefined;
  std::array<double, kOverlapLevels> precision{}, recall{}, f1{};
};
ObjectScores scores_of(const ObjectSums& sums);

}  // namespace tessera
