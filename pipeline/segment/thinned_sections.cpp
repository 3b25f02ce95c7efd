#include "pipeline/segment/thinned_sections.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "pipeline/evaluate/section_sums.h"
#include "workers/mpi/agreement.h"
#include "workers/segment/row_exchange.h"

namespace tessera {

void add_runs(const VoxelBuffer& ids, const Index3& block_begin, const Box& part, const Box& scored,
              std::vector<SupervoxelRun>& runs) {
  const auto all = ids.as<std::uint64_t>();
  const auto width = static_cast<std::size_t>(part.shape().x);
  for (std::int64_t z = part.begin.z; z < part.end.z; ++z) {
    for (std::int64_t y = part.begin.y; y < part.end.y; ++y) {
      const Index3 first{z, y, part.begin.x};
      const auto row =
          all.subspan(static_cast<std::size_t>(linear_index(first - block_begin, ids.shape)), width);
      const std::int64_t at = linear_index(first - scored.begin, scored.shape());
      for (std::size_t x = 0, end = 0; x < width; x = end) {
        while (end < width && row[end] == row[x])
          ++end;
        if (row[x] == 0) continue;
        runs.push_back({at + static_cast<std::int64_t>(x), static_cast<std::int64_t>(end - x), row[x]});
      }
    }
  }
}

ThinnedSections::ThinnedSections(std::vector<SupervoxelRun> runs, const Box& scored, Volume& labels,
                                 std::span<const std::uint64_t> ids, std::optional<LabelId> ignored,
                                 const Communicator& world)
    : shape_(scored.shape()), ignored_(ignored), world_(world) {
  const std::int64_t pixels = shape_.y * shape_.x;
  runs = sent_rows(world, std::move(runs), [&](const SupervoxelRun& one) {
    return static_cast<int>(one.begin / pixels % world.size());
  });
  on_every_rank(world, [&] {
    for (std::int64_t z = world.rank(); z < shape_.z; z += world.size()) {
      const Box box{{scored.begin.z + z, scored.begin.y, scored.begin.x},
                    {scored.begin.z + z + 1, scored.end.y, scored.end.x}};
      sections_.push_back(
          {z, labels.read(box), std::vector<std::uint32_t>(static_cast<std::size_t>(pixels), kNone)});
    }
    for (const SupervoxelRun& one : runs) {
      const auto found = std::ranges::lower_bound(ids, one.id);
      if (found == ids.end() || *found != one.id)
        throw Error(fmt::format("the graph lacks the supervoxel {}: segment again with --restart", one.id));
      Section& section = sections_[static_cast<std::size_t>(one.begin / pixels / world.size())];
      std::fill_n(section.supervoxel.begin() + one.begin % pixels, one.length,
                  static_cast<std::uint32_t>(found - ids.begin()));
    }
  });
}

ThinnedScores ThinnedSections::scores(std::span<const std::uint64_t> object) const {
  std::vector<ThinnedSums> sums(static_cast<std::size_t>(shape_.z));
  on_every_rank(world_, [&] {
    VoxelBuffer predicted(VoxelType::uint64, {1, shape_.y, shape_.x});
    const auto ids = predicted.as<std::uint64_t>();
    for (const Section& one : sections_) {
      std::ranges::transform(one.supervoxel, ids.begin(),
                             [&](std::uint32_t row) { return row == kNone ? 0 : object[row]; });
      sums[static_cast<std::size_t>(one.z)] = thinned_sums(one.truth, predicted, ignored_);
    }
  });
  add_up(world_, sums);
  return thinned_scores(sums);
}

}  // namespace tessera
