#pragma once

#include <cstdint>
#include <vector>

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

/// An object and how its voxels are shared out among the objects of the other volume.
struct ObjectParts {
  std::uint64_t label = 0;
  std::int64_t voxels = 0;    ///< of a predicted object: those of true objects
  std::int64_t parts = 0;     ///< other objects that share voxels with it; 0 is none
  std::uint64_t largest = 0;  ///< the one that shares most; of equal ones the lowest label; 0: none
  std::int64_t shared = 0;    ///< with `largest`
  friend bool operator==(const ObjectParts&, const ObjectParts&) = default;
};
/// The objects with most voxels outside their largest part, the worst first; of equal ones the lowest label.
struct WorstObjects {
  std::vector<ObjectParts> split;   ///< true objects
  std::vector<ObjectParts> merged;  ///< predicted objects
};
inline constexpr std::size_t kMostWorstObjects = 20;

/// Collective. The sums over the tables of all ranks; frees the memory of `mine`. Integers are sent, and
/// others are derived from them in a fixed order: the same bits on every rank and for any number of ranks.
/// Each rank owns a share of the labels, so that no rank holds the whole table. `worst`: where to store the
/// worst objects, on every rank; null: nowhere.
LabelSums label_sums(LabelTable mine, const Communicator& world, WorstObjects* worst = nullptr);

}  // namespace tessera
