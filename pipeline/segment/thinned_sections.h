#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/volume/label_id.h"
#include "io/volume/volume.h"
#include "pipeline/evaluate/thinned_objects.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Neighbouring voxels of one supervoxel in a row of the scored box.
struct SupervoxelRun {
  std::int64_t begin = 0;   ///< linear index in the box
  std::int64_t length = 0;  ///< voxels
  std::uint64_t id = 0;     ///< above 0
};

/// Adds the runs of a part of a block. `ids`: of the block, which begins at `block_begin`. `part` and
/// `scored`: in the same coordinates.
void add_runs(const VoxelBuffer& ids, const Index3& block_begin, const Box& part, const Box& scored,
              std::vector<SupervoxelRun>& runs);

/// The supervoxels of whole sections with their labels. Every section belongs to one rank, which scores the
/// objects that its supervoxels are merged to.
class ThinnedSections {
 public:
  /// Collective. `runs`: those that this rank has found in `scored`, a box of `labels`. `ids`: of all
  /// supervoxels, rising. Errors, on every rank: Error.
  ThinnedSections(std::vector<SupervoxelRun> runs, const Box& scored, Volume& labels,
                  std::span<const std::uint64_t> ids, std::optional<LabelId> ignored,
                  const Communicator& world);

  /// Collective. The scores where supervoxel i is part of `object[i]`, or of none where that is 0: those that
  /// evaluate_labels() gives to a volume of the objects. Errors, on every rank: AgreedError.
  ThinnedScores scores(std::span<const std::uint64_t> object) const;

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct Section {
    std::int64_t z = 0;  ///< from the box's begin
    VoxelBuffer truth;
    std::vector<std::uint32_t> supervoxel;  ///< of each pixel: its place among the ids, or kNone
  };

  Index3 shape_;  ///< of the box
  std::optional<LabelId> ignored_;
  const Communicator& world_;
  std::vector<Section> sections_;  ///< of this rank
};

}  // namespace tessera
