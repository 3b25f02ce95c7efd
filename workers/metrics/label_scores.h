#pragma once

#include <cstdint>

#include "workers/metrics/label_table.h"
#include "workers/metrics/object_scores.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What two label volumes (or one section of each) give. Sums: sections add up, each a world of its own whose
/// ids mean nothing in another. Voxels whose true label is 0 are left out of all but the objects; predicted 0
/// is a label like any other, but no object.
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

/// Variation of information in bits and adapted Rand error, as scikit-image has them with ignore_labels=(0,).
/// 0 / 0 is 1 for precision and recall (no object of two voxels), no voxels give no error.
struct LabelScores {
  double voi_split = 0;  ///< H(prediction | truth): objects in pieces
  double voi_merge = 0;  ///< H(truth | prediction): objects run together
  double voi = 0;        ///< their sum
  double rand_precision = 1, rand_recall = 1;
  double adapted_rand_error = 0;  ///< 1 - F of the two
  ObjectScores objects;
};
LabelScores scores_of(const LabelSums& sums);

/// Collective. The sums of the table that all ranks' tables make together; takes the memory of `mine`. Whole
/// numbers travel, and what is not whole is derived from them in a fixed order: the same bits on every rank
/// and for any number of ranks. Each rank looks after a share of the labels, so that the whole table is
/// nowhere.
LabelSums label_sums(LabelTable mine, const Communicator& world);

}  // namespace tessera
