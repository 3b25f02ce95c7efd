#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/agglomerate/merge_tree.h"
#include "workers/metrics/label_scores.h"
#include "workers/metrics/label_table.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The scores of the objects after one stage of a tree.
struct StageScores {
  std::uint32_t stage = 0;   ///< 0: the supervoxels
  std::int64_t objects = 0;  ///< all, those without a labelled voxel too
  LabelSums sums;
};

/// Collective. The scores of every stage from 0 on, without reading a voxel again. `mine`: this rank's counts
/// of voxels by true label and supervoxel id; 0 is no supervoxel. `ids`: of each row of the tree, rising. The
/// sums are those of label_sums() over the objects' voxels, to the bit. Errors, on every rank: Error for an
/// id that the tree lacks.
std::vector<StageScores> score_stages(const MergeTree& tree, std::span<const std::uint64_t> ids,
                                      const LabelTable& mine, const Communicator& world);

/// A part of an object: the voxels that it shares with an object of the other volume.
struct SharedPart {
  std::uint64_t label = 0;  ///< 0: voxels without an object
  std::int64_t voxels = 0;
  friend bool operator==(const SharedPart&, const SharedPart&) = default;
};
/// An object and its parts, the largest first; of equal ones the lower label.
struct DividedObject {
  std::uint64_t label = 0;
  std::int64_t voxels = 0;
  std::vector<SharedPart> parts;
};
/// Which true object is split into what, and which object merges what. As WorstObjects, with the parts.
struct SplitsAndMerges {
  std::vector<DividedObject> split;   ///< true objects
  std::vector<DividedObject> merged;  ///< predicted objects; voxels with true label 0 do not count
};
/// Collective. The splits and merges after one stage, the worst first, the same on every rank. Arguments and
/// errors: as score_stages().
SplitsAndMerges splits_and_merges(const MergeTree& tree, std::uint32_t stage,
                                  std::span<const std::uint64_t> ids, const LabelTable& mine,
                                  const Communicator& world);

/// The stage with the smallest variation of information, and that with the smallest adapted Rand error; of
/// equal ones the earlier. Null where every score is undefined.
const StageScores* best_by_voi(std::span<const StageScores> stages);
const StageScores* best_by_rand(std::span<const StageScores> stages);

}  // namespace tessera
