#pragma once

#include <cstdint>

#include "workers/metrics/label_table.h"
#include "workers/metrics/object_scores.h"
#include "workers/metrics/ratio.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Sums of the scores of two label volumes, or of one section of each. They add up over sections, in each of
/// which ids are independent. Voxels with true label 0 count for the objects only. Predicted 0 is a label
/// like any other, but no object.
struct LabelSums {
  double voxels = 0;
  // sum of n log2 n over the true labels, the predicted ones and the pairs of both
  double truth_log = 0, predicted_log = 0, both_log = 0;
  // sum of n (n - 1) / 2: pairs of voxels of one label
  double truth_pairs = 0, predicted_pairs = 0, both_pairs = 0;
  ObjectSums objects;

  LabelSums& operator+=(const LabelSums& other);
  friend bool operator==(const LabelSums&, const LabelSums&) = default;
};

/// Variation of information in bits and adapted Rand error, as in scikit-image with ignore_labels=(0,).
/// 0 / 0 is undefined: without voxels, or without an object of two voxels.
struct LabelScores {
  double voi_split = kUndefined;  ///< H(prediction | truth): split objects
  double voi_merge = kUndefined;  ///< H(truth | prediction): merged objects
  double voi = kUndefined;        ///< their sum
  double rand_precision = kUndefined, rand_recall = kUndefined;
  double adapted_rand_error = kUndefined;  ///< 1 - F of the two
  ObjectScores objects;
};
LabelScores scores_of(const LabelSums& sums);

/// Collective. The sums over the tables of all ranks; frees the memory of `mine`. Integers are sent, and
/// others are derived from them in a fixed order: the same bits on every rank and for any number of ranks.
/// Each rank owns a share of the labels, so that no rank holds the whole table.
LabelSums label_sums(LabelTable mine, const Communicator& world);

}  // namespace tessera
