#include "workers/agglomerate/merge_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>

#include "io/base/error.h"

namespace tessera {

MergeTree::MergeTree(std::uint32_t rows, std::span<const TreeMerge> merges) : into_(rows), stage_(rows, 0) {
  std::iota(into_.begin(), into_.end(), 0U);
  constexpr const char* kDamaged = "(is the graph file damaged? make it again)";
  for (const TreeMerge& one : merges) {
    if (one.gone >= rows || one.into >= one.gone || one.stage == 0)
      throw Error(
          fmt::format("the tree of merges has a merge of row {} into row {} at stage {}, of {} rows {}",
                      one.gone, one.into, one.stage, rows, kDamaged));
    if (stage_[one.gone] != 0)
      throw Error(fmt::format("the tree of merges has row {} twice {}", one.gone, kDamaged));
    into_[one.gone] = one.into;
    stage_[one.gone] = one.stage;
    stages_ = std::max(stages_, one.stage);
  }
  for (std::uint32_t row = 0; row < rows; ++row) {
    const std::uint32_t next = stage_[into_[row]];
    if (next != 0 && next < stage_[row])
      throw Error(
          fmt::format("the tree of merges has row {} at stage {}, but what it became part of at stage {} {}",
                      row, stage_[row], next, kDamaged));
  }
}

std::vector<std::uint32_t> MergeTree::cut(std::uint32_t stage) const {
  std::vector<std::uint32_t> object(into_.size());
  // A row goes into a smaller one, whose object is known by then.
  for (std::uint32_t row = 0; row < rows(); ++row)
    object[row] = stage_[row] != 0 && stage_[row] <= stage ? object[into_[row]] : row;
  return object;
}

std::uint32_t stage_reached(const Fraction& linkage, std::span<const Fraction> falling_thresholds) {
  const auto first = std::partition_point(falling_thresholds.begin(), falling_thresholds.end(),
                                          [&](const Fraction& threshold) { return threshold > linkage; });
  return first == falling_thresholds.end()
             ? 0
             : static_cast<std::uint32_t>(first - falling_thresholds.begin()) + 1;
}

std::vector<TreeMerge> in_stages(std::span<const GreedyMerge> merges, Linkage linkage,
                                 std::span<const Fraction> falling_thresholds) {
  std::vector<TreeMerge> tree;
  for (const GreedyMerge& one : merges) {
    const std::uint32_t stage = stage_reached(one.linkage(linkage), falling_thresholds);
    if (stage > 0) tree.push_back({one.gone, one.into, stage});
  }
  std::sort(tree.begin(), tree.end(), [](const TreeMerge& x, const TreeMerge& y) { return x.gone < y.gone; });
  return tree;
}

std::vector<std::uint64_t> object_ids(std::span<const std::uint32_t> objects,
                                      std::span<const std::uint64_t> name,
                                      std::span<const std::uint64_t> size, std::uint64_t min_size,
                                      ObjectIdKind kind) {
  assert(objects.size() == name.size() && objects.size() == size.size());
  std::vector<std::uint64_t> voxels(objects.size(), 0), id(objects.size(), 0);
  for (std::size_t row = 0; row < objects.size(); ++row)
    voxels[objects[row]] += size[row];
  std::uint64_t count = 0;
  for (std::size_t row = 0; row < objects.size(); ++row) {
    const std::uint32_t object = objects[row];
    if (object == row && voxels[row] >= min_size && voxels[row] > 0)
      id[row] = kind == ObjectIdKind::canonical ? name[row] + 1 : ++count;
    else if (object != row)
      id[row] = id[object];
  }
  return id;
}

}  // namespace tessera
