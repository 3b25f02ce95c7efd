#pragma once

#include "workers/metrics/contingency.h"
#include "workers/metrics/ratio.h"

namespace tessera {

// Scores that compare two partitions of a section's pixels into objects. Each has sums, which add up over
// sections and ranks, and scores derived from the sums. The sums are doubles, because squares of large
// sections over a volume exceed 63 bits. Integers below 2^53 are exact.

/// Foreground-restricted Rand, after Arganda-Carreras et al. 2015. Pixels with ground truth 0 are dropped.
/// c_ij is the number of pixels of true object i and predicted object j; z that of pixels predicted as
/// background, each of which is an object.
struct RandSums {
  double truth = 0;      ///< A = sum_i (sum_{j>=0} c_ij)^2
  double predicted = 0;  ///< B = sum_{j>=1} (sum_i c_ij)^2 + z
  double both = 0;       ///< AB = sum_{i,j>=1} c_ij^2 + z

  RandSums& operator+=(const RandSums& other);
  friend bool operator==(const RandSums&, const RandSums&) = default;
};
RandSums rand_sums(const Contingency& table);

/// Information that the true and the predicted objects share, restricted and with singletons like RandSums;
/// in nats times pixels, so that the terms of sections add up. With n the pixels compared:
struct InfoSums {
  double truth = 0;      ///< n H(truth) = n ln n - sum_i a_i ln a_i
  double predicted = 0;  ///< n H(predicted)
  double both = 0;       ///< n H(truth, predicted)

  InfoSums& operator+=(const InfoSums& other);
  friend bool operator==(const InfoSums&, const InfoSums&) = default;
};
InfoSums info_sums(const Contingency& table);

/// Pairs of pixels of one section, the background of either side being one object: the Rand index of the
/// 2012 challenge's ranking.
struct PairSums {
  double truth = 0;      ///< pairs in one true object
  double predicted = 0;  ///< pairs in one predicted object
  double both = 0;       ///< pairs in one object of both
  double all = 0;        ///< n (n - 1) / 2

  PairSums& operator+=(const PairSums& other);
  friend bool operator==(const PairSums&, const PairSums&) = default;
};
PairSums pair_sums(const Contingency& table);

/// The agreement of two partitions; 1 is best. Merged objects lower `precision`, split objects lower
/// `recall`. `f` is their harmonic mean.
struct PartitionScores {
  double precision = kUndefined, recall = kUndefined, f = kUndefined;
};
PartitionScores scores_of(const RandSums& sums);  ///< 0 / 0 is undefined
PartitionScores scores_of(const PairSums& sums);  ///< 0 / 0 is undefined
/// V^Info: the shared information divided by that of the prediction (recall) and of the truth (precision). By
/// the challenge's rule f is 0 if either side has at most one object, and so no information.
PartitionScores scores_of(const InfoSums& sums);
/// 1 - Rand index over all pairs of pixels; undefined without pairs.
double rand_index_error(const PairSums& sums);

}  // namespace tessera
