#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "io/base/enum_names.h"
#include "workers/agglomerate/linkage.h"

namespace tessera {

/// Which voxels are neighbours.
enum class SegmentMode {
  volume,    ///< the 6 of a voxel
  sections,  ///< the 4 within its section; objects of neighbouring sections are linked by their overlap
};
constexpr auto enum_names(SegmentMode) {
  return std::to_array<EnumName<SegmentMode>>(
      {{SegmentMode::volume, "volume"}, {SegmentMode::sections, "sections"}});
}

/// The weight of probability 1.
constexpr std::int32_t kWeightOne = 65535;
/// The score of a mean weight of kWeightOne: scores have 8 fractional bits.
constexpr std::uint64_t kScoreOne = std::uint64_t{kWeightOne} << 8;

/// floor(65535 p + 0.5), for a probability or a threshold of weights. At most 65536, for p > 1.
std::int32_t weight_of_probability(double probability);
/// floor(65535 * 256 p + 0.5): the score that a threshold of the mean weight has.
std::uint64_t score_of_probability(double probability);

/// The channels that have the affinity of each voxel and its neighbour along each axis.
struct AffinityChannels {
  std::array<std::int64_t, 3> channel{-1, -1, -1};  ///< z, y, x; -1: none
  std::array<std::int64_t, 3> step{-1, -1, -1};     ///< to the neighbour: -1 the voxel before, 1 that behind
};

/// What the graph of a block depends on, beside its voxels.
struct BlockGraphOptions {
  SegmentMode mode = SegmentMode::volume;
  std::int32_t saturated =
      kWeightOne;                   ///< neighbours joined by an edge of at least this weight are of one basin
  std::int64_t fragment_size = 0;   ///< voxels; smaller clusters join the neighbour of their best edge
  std::int32_t fragment_floor = 0;  ///< of at least this weight
  int smoothing = 0;                ///< passes of the (1, 2, 1) filter; 0 to kMostSmoothing
  std::optional<AffinityChannels> affinities{};  ///< of edges; none: the input is a probability of voxels
  bool histograms = false;                       ///< of the weights of each bundle, which quantiles need
  bool certain_merges = true;  ///< whether a block decides merges alone; changes the files' sizes only

  static constexpr int kMostSmoothing = 8;
  /// The first axis along which voxels are neighbours.
  int first_axis() const { return mode == SegmentMode::sections ? 1 : 0; }
};

/// Connected components of a threshold or of equal labels, in place of basins and their merges.
struct ComponentOptions {
  int neighbours = 6;                     ///< 6, 18 or 26; within a section 4 or 8
  std::optional<std::int32_t> threshold;  ///< the lowest weight of the foreground; none: of equal labels
  bool fill_holes = false;                ///< of a threshold within sections; blocks hold whole sections

  bool within_sections() const { return neighbours < 6; }
};

/// How fragments merge, in step 4.
enum class MergeLinkage {
  rounds,      ///< rounds of choices by the mean of a bundle's weights
  mean,        ///< greedy: the two clusters with the largest mean first
  quantile25,  ///< greedy, by the 25th percentile of a bundle's weights
  quantile50,
  quantile75,
  quantile85,
  maximum,  ///< greedy, by the largest weight of a bundle
};
constexpr auto enum_names(MergeLinkage) {
  return std::to_array<EnumName<MergeLinkage>>({{MergeLinkage::rounds, "rounds"},
                                                {MergeLinkage::mean, "mean"},
                                                {MergeLinkage::quantile25, "quantile25"},
                                                {MergeLinkage::quantile50, "quantile50"},
                                                {MergeLinkage::quantile75, "quantile75"},
                                                {MergeLinkage::quantile85, "quantile85"},
                                                {MergeLinkage::maximum, "maximum"}});
}
/// The value of a bundle with this linkage; `rounds` and `mean`: the mean.
LinkageRule rule_of(MergeLinkage linkage);

/// One stage of merging. Its number, from 1, is its place in MergeOptions::stages.
struct MergeStage {
  enum class Kind {
    mean,   ///< clusters joined by a bundle of at least the threshold merge, as MergeOptions::linkage says
    link,   ///< objects of neighbouring sections merge by their overlap
    small,  ///< clusters of fewer than `small_size` voxels merge, in rounds, at least at `score`
  };
  Kind kind = Kind::mean;
  std::uint64_t score = 0;  ///< of rounds: the threshold of a bundle's score
  Fraction threshold{};     ///< of greedy merges: that of the linkage, on the scale of weights
};
/// The stage of a threshold between 0 and 1.
MergeStage threshold_stage(double threshold);

/// What happens to the fragments. Everything here can change without another first pass.
struct MergeOptions {
  MergeLinkage linkage = MergeLinkage::rounds;
  std::vector<MergeStage> stages;
  std::int64_t link_millionths = 350'000;  ///< of the two objects' union that both must share
  bool link_mutual = true;                 ///< both choose each other; else one side's choice is enough
  std::int64_t small_size = 0;             ///< voxels
  std::int64_t min_size = 0;               ///< smaller objects are 0 in the result
  bool compact_ids = false;                ///< 1, 2, ... in place of the first voxel's index plus 1
};

}  // namespace tessera
