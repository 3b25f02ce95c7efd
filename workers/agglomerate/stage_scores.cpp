#include "workers/agglomerate/stage_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "io/base/error.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/all_to_all.h"

namespace tessera {
namespace {

/// The counts of voxels by true label and object. `object_of`: the object of a row; the table's predicted
/// labels are ids of the rows.
LabelTable objects_table(const std::vector<LabelOverlap>& overlaps, std::span<const std::uint64_t> ids,
                         const std::vector<std::uint32_t>& object_of) {
  LabelTable table;
  for (const LabelOverlap& one : overlaps) {
    std::uint64_t object = 0;
    if (one.predicted != 0) {
      const auto found = std::lower_bound(ids.begin(), ids.end(), one.predicted);
      if (found == ids.end() || *found != one.predicted)
        throw Error(fmt::format(
            "the supervoxels have the id {}, which their graph lacks: they are not of the same segmentation",
            one.predicted));
      object = ids[object_of[static_cast<std::size_t>(found - ids.begin())]];
    }
    table.add(one.truth, object, one.voxels);
  }
  return table;
}

const StageScores* best_by(std::span<const StageScores> stages, double (*badness)(const LabelScores&)) {
  const StageScores* best = nullptr;
  double lowest = 0;
  for (const StageScores& one : stages) {
    const double value = badness(scores_of(one.sums));
    if (std::isnan(value) || (best != nullptr && value >= lowest)) continue;
    best = &one;
    lowest = value;
  }
  return best;
}

/// Pairs of some objects: `label` of one volume shares `voxels` with `other`.
struct SharedVoxels {
  std::uint64_t is_truth, label, other;
  std::int64_t voxels;
};

/// Objects with the parts that the ranks have found.
std::vector<DividedObject> divided(
    const std::vector<ObjectParts>& objects,
    const std::map<std::uint64_t, std::map<std::uint64_t, std::int64_t>>& shared) {
  std::vector<DividedObject> all;
  for (const ObjectParts& object : objects) {
    DividedObject one{object.label, object.voxels, {}};
    if (const auto found = shared.find(object.label); found != shared.end()) {
      for (const auto& [label, voxels] : found->second)
        one.parts.push_back({label, voxels});
    }
    std::stable_sort(one.parts.begin(), one.parts.end(),
                     [](const SharedPart& x, const SharedPart& y) { return x.voxels > y.voxels; });
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace

std::vector<StageScores> score_stages(const MergeTree& tree, std::span<const std::uint64_t> ids,
                                      const LabelTable& mine, const Communicator& world) {
  std::vector<StageScores> stages;
  std::vector<LabelOverlap> overlaps = mine.overlaps();
  for (std::uint32_t stage = 0; stage <= tree.stages(); ++stage) {
    const std::vector<std::uint32_t> object_of = tree.cut(stage);
    StageScores scores{stage, 0, {}};
    for (std::uint32_t row = 0; row < tree.rows(); ++row)
      scores.objects += object_of[row] == row ? 1 : 0;
    LabelTable table;
    on_every_rank(world, [&] { table = objects_table(overlaps, ids, object_of); });
    // The objects of the next stage consist of these.
    overlaps = table.overlaps();
    scores.sums = label_sums(std::move(table), world);
    stages.push_back(scores);
  }
  return stages;
}

SplitsAndMerges splits_and_merges(const MergeTree& tree, std::uint32_t stage,
                                  std::span<const std::uint64_t> ids, const LabelTable& mine,
                                  const Communicator& world) {
  LabelTable table;
  on_every_rank(world, [&] { table = objects_table(mine.overlaps(), ids, tree.cut(stage)); });
  const std::vector<LabelOverlap> overlaps = table.overlaps();
  WorstObjects worst;
  label_sums(std::move(table), world, &worst);
  const auto has = [](const std::vector<ObjectParts>& objects, std::uint64_t label) {
    return std::any_of(objects.begin(), objects.end(),
                       [&](const ObjectParts& one) { return one.label == label; });
  };
  std::vector<SharedVoxels> found;
  for (const LabelOverlap& one : overlaps) {
    if (one.truth == 0) continue;
    if (has(worst.split, one.truth)) found.push_back({1, one.truth, one.predicted, one.voxels});
    if (has(worst.merged, one.predicted)) found.push_back({0, one.predicted, one.truth, one.voxels});
  }
  const auto bytes = std::as_bytes(std::span(found));
  const std::vector<std::vector<std::byte>> all =
      all_to_all(world, std::vector<std::vector<std::byte>>(static_cast<std::size_t>(world.size()),
                                                            {bytes.begin(), bytes.end()}));
  std::map<std::uint64_t, std::map<std::uint64_t, std::int64_t>> of_truth, of_object;
  for (const std::vector<std::byte>& from : all) {
    std::vector<SharedVoxels> rows(from.size() / sizeof(SharedVoxels));
    std::copy_n(from.begin(), rows.size() * sizeof(SharedVoxels),
                std::as_writable_bytes(std::span(rows)).begin());
    for (const SharedVoxels& one : rows)
      (one.is_truth != 0 ? of_truth : of_object)[one.label][one.other] += one.voxels;
  }
  return {divided(worst.split, of_truth), divided(worst.merged, of_object)};
}

const StageScores* best_by_voi(std::span<const StageScores> stages) {
  return best_by(stages, [](const LabelScores& scores) { return scores.voi; });
}

const StageScores* best_by_rand(std::span<const StageScores> stages) {
  return best_by(stages, [](const LabelScores& scores) { return scores.adapted_rand_error; });
}

}  // namespace tessera
