#include "workers/metrics/object_scores.h"

namespace tessera {

ObjectSums& ObjectSums::operator+=(const ObjectSums& other) {
  truth += other.truth;
  predicted += other.predicted;
  jaccard += other.jaccard;
  for (std::size_t i = 0; i < matched.size(); ++i)
    matched[i] += other.matched[i];
  return *this;
}

double jaccard(std::int64_t shared, std::int64_t truth, std::int64_t predicted) {
  return static_cast<double>(shared) / static_cast<double>(truth + predicted - shared);
}

int levels_reached(std::int64_t shared, std::int64_t truth, std::int64_t predicted) {
  const std::int64_t together = truth + predicted - shared;
  int levels = 0;
  // shared / together > (10 + level) / 20
  while (levels < kOverlapLevels && 20 * shared > (10 + levels) * together)
    ++levels;
  return levels;
}

ObjectSums object_sums(const Contingency& table) {
  ObjectSums sums;
  sums.truth = static_cast<double>(table.truth.size() - 1);
  sums.predicted = static_cast<double>(table.predicted.size() - 1);
  for (const Contingency::Entry& entry : table.entries) {
    const std::int64_t truth = table.truth[static_cast<std::size_t>(entry.truth)];
    if (entry.truth == 0 || entry.predicted == 0 || !covers_majority(entry.pixels, truth)) continue;
    const std::int64_t predicted = table.predicted[static_cast<std::size_t>(entry.predicted)];
    sums.jaccard += jaccard(entry.pixels, truth, predicted);
    const int levels = levels_reached(entry.pixels, truth, predicted);
    for (int level = 0; level < levels; ++level)
      sums.matched[static_cast<std::size_t>(level)] += 1;
  }
  return sums;
}

ObjectScores scores_of(const ObjectSums& sums) {
  ObjectScores scores;
  scores.seg = ratio(sums.jaccard, sums.truth);
  for (std::size_t i = 0; i < sums.matched.size(); ++i) {
    scores.precision[i] = ratio(sums.matched[i], sums.predicted);
    scores.recall[i] = ratio(sums.matched[i], sums.truth);
    scores.f1[i] = ratio(2 * sums.matched[i], sums.truth + sums.predicted);
  }
  return scores;
}

}  // namespace tessera
