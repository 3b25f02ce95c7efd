#include "workers/segment/greedy_stage.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "workers/agglomerate/agglomeration.h"
#include "workers/agglomerate/merge_tree.h"
#include "workers/segment/graph_stage.h"

namespace tessera {
namespace {

/// The clusters of a graph, numbered by rising name over all ranks. Each rank has those of a range of names.
class NumberedNames {
 public:
  /// Collective.
  explicit NumberedNames(const OwnedGraph& graph) : world_(graph.world()) {
    const std::vector<std::uint64_t>& own = graph.names();
    const std::int64_t last = own.empty() ? 0 : static_cast<std::int64_t>(own.back());
    end_ = static_cast<std::uint64_t>(-world_.minimum(-last)) + 1;
    names_ =
        sent_rows(world_, own, [&](std::uint64_t name) { return range_owner(name, end_, world_.size()); });
    std::sort(names_.begin(), names_.end());
    std::vector<std::int64_t> counts(static_cast<std::size_t>(world_.size()));
    counts[static_cast<std::size_t>(world_.rank())] = std::ssize(names_);
    world_.sum(counts);
    begins_.push_back(0);
    for (const std::int64_t count : counts)
      begins_.push_back(begins_.back() + static_cast<std::uint64_t>(count));
  }

  std::uint64_t count() const { return begins_.back(); }
  /// Those of this rank, rising.
  const std::vector<std::uint64_t>& names() const { return names_; }
  /// Collective. The numbers of clusters.
  std::vector<std::uint64_t> numbers_of(std::span<const std::uint64_t> names) const {
    return asked_rows<std::uint64_t>(
        world_, names, [&](std::uint64_t name) { return range_owner(name, end_, world_.size()); },
        [&](std::uint64_t name) {
          return begin() +
                 static_cast<std::uint64_t>(std::ranges::lower_bound(names_, name) - names_.begin());
        });
  }
  /// Collective. The names of numbers.
  std::vector<std::uint64_t> names_of(std::span<const std::uint64_t> numbers) const {
    return asked_rows<std::uint64_t>(
        world_, numbers,
        [&](std::uint64_t number) {
          return static_cast<int>(std::ranges::upper_bound(begins_, number) - begins_.begin()) - 1;
        },
        [&](std::uint64_t number) { return names_[number - begin()]; });
  }

 private:
  std::uint64_t begin() const { return begins_[static_cast<std::size_t>(world_.rank())]; }

  const Communicator& world_;
  std::uint64_t end_ = 1;  ///< above every name
  std::vector<std::uint64_t> names_;
  std::vector<std::uint64_t> begins_;  ///< of each rank, and the number of all
};

/// Collective. This rank's bundles, with the numbers of their ends.
RegionGraph numbered_bundles(const OwnedGraph& graph, const NumberedNames& numbers) {
  std::vector<std::uint64_t> ends;
  ends.reserve(2 * graph.bundles().size());
  for (const BundleRow& one : graph.bundles()) {
    ends.push_back(one.a);
    ends.push_back(one.b);
  }
  const std::vector<std::uint64_t> found = numbers.numbers_of(ends);
  RegionGraph share;
  for (std::size_t i = 0; i < graph.bundles().size(); ++i) {
    const BundleRow& one = graph.bundles()[i];
    share.a.push_back(static_cast<std::uint32_t>(found[2 * i]));
    share.b.push_back(static_cast<std::uint32_t>(found[2 * i + 1]));
    share.sum.push_back(one.sum);
    share.count.push_back(one.count);
    share.saddle.push_back(static_cast<std::uint16_t>(one.saddle));
  }
  return share;
}

/// Adds the histograms of the bundles. They are in the order of the bundles.
void add_histograms_of(const OwnedGraph& graph, RegionGraph& share) {
  auto bin = graph.bins().begin();
  share.bins.reserve(graph.bins().size());
  for (const BundleRow& one : graph.bundles()) {
    share.bin_begin.push_back(share.bins.size());
    for (; bin != graph.bins().end() && bin->a == one.a && bin->b == one.b; ++bin)
      share.bins.push_back(bin->bin);
  }
  share.bin_begin.push_back(share.bins.size());
}

}  // namespace

void merge_greedily(OwnedGraph& graph, const LinkageRule& rule, std::span<const Fraction> falling_thresholds,
                    std::int64_t first_stage) {
  const Communicator& world = graph.world();
  const NumberedNames numbers(graph);
  RegionGraph share = numbered_bundles(graph, numbers);
  if (rule.linkage == Linkage::quantile) add_histograms_of(graph, share);
  const AgglomerationOptions options{rule, falling_thresholds.back()};
  std::vector<GreedyMerge> merges;
  if (world.size() == 1) {
    share.name = numbers.names();
    merges = agglomerate(share, options);
  } else {
    merges = agglomerate(share, numbers.count(), options, world);
  }
  std::vector<std::uint64_t> ends;
  ends.reserve(2 * merges.size());
  for (const GreedyMerge& one : merges) {
    ends.push_back(one.gone);
    ends.push_back(one.into);
  }
  const std::vector<std::uint64_t> names = numbers.names_of(ends);
  std::vector<MergeRow> rows(merges.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Fraction at = merges[i].linkage(rule.linkage);
    rows[i] = {names[2 * i], names[2 * i + 1], first_stage + stage_reached(at, falling_thresholds) - 1,
               at.numerator, at.denominator};
  }
  graph.apply(std::move(rows));
}

}  // namespace tessera
