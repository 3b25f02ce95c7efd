#include "workers/agglomerate/region_owner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <span>
#include <utility>

#include "io/base/error.h"

namespace tessera {
namespace {

using Renames = std::unordered_map<std::uint32_t, std::uint32_t>;

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto more = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), more.begin(), more.end());
}

/// Reads values off the front of what an owner sent.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  template <class T>
  T next() {
    if (rest_.size() < sizeof(T))
      throw Error(fmt::format(
          "a message between ranks ends {} bytes early (do all ranks run the same version of Tessera?)",
          sizeof(T) - rest_.size()));
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }

 private:
  std::span<const std::byte> rest_;
};

/// Every value of one type that the owners sent.
template <class T, class Function>
void for_each_value(const OwnerBytes& received, Function&& function) {
  for (const std::vector<std::byte>& bytes : received) {
    for (ByteReader reader(bytes); !reader.empty();)
      function(reader.next<T>());
  }
}

/// An edge, the number of its bins, and these.
void append_edge(std::vector<std::byte>& bytes, const ClusterEdge& edge, const ClusterEdges& edges,
                 std::size_t i) {
  append(bytes, edge);
  const std::uint32_t count = edges.bins.empty() ? 0 : static_cast<std::uint32_t>(edges.bins[i].size());
  append(bytes, count);
  for (std::uint32_t bin = 0; bin < count; ++bin)
    append(bytes, edges.bins[i][bin]);
}

std::uint32_t renamed(std::uint32_t row, const Renames& to) {
  const auto found = to.find(row);
  return found == to.end() ? row : found->second;
}

}  // namespace

std::size_t OwnerRows::owner_of(std::uint32_t row) const {
  return static_cast<std::size_t>(std::upper_bound(begins.begin() + 1, begins.end() - 1, row) -
                                  begins.begin()) -
         1;
}

OwnerRows OwnerRows::even(std::uint32_t rows, std::size_t owners) {
  OwnerRows even;
  for (std::size_t i = 0; i <= owners; ++i)
    even.begins.push_back(static_cast<std::uint32_t>(std::uint64_t{rows} * i / owners));
  return even;
}

OwnerBytes RegionOwner::distribute(const ClusterEdges& share) const {
  OwnerBytes sent(rows_->owners());
  for (std::size_t i = 0; i < share.size(); ++i) {
    const ClusterEdge& edge = share.edges[i];
    const std::size_t first = rows_->owner_of(edge.a), second = rows_->owner_of(edge.b);
    append_edge(sent[first], edge, share, i);
    if (second != first) append_edge(sent[second], edge, share, i);
  }
  return sent;
}

void RegionOwner::add_edges(const OwnerBytes& received) {
  for (const std::vector<std::byte>& bytes : received) {
    for (ByteReader reader(bytes); !reader.empty();) {
      const auto edge = reader.next<ClusterEdge>();
      std::vector<HistogramBin> bins(reader.next<std::uint32_t>());
      for (HistogramBin& bin : bins)
        bin = reader.next<HistogramBin>();
      edges_.add(edge, std::move(bins));
    }
  }
  edges_.unite_equal(options_);
}

std::vector<RegionOwner::Border> RegionOwner::borders() const {
  std::vector<Border> borders;
  for (const ClusterEdge& edge : edges_.edges) {
    const bool own_a = is_own(edge.a), own_b = is_own(edge.b);
    if (own_a && !own_b) borders.push_back({edge.a, static_cast<std::uint32_t>(rows_->owner_of(edge.b))});
    if (own_b && !own_a) borders.push_back({edge.b, static_cast<std::uint32_t>(rows_->owner_of(edge.a))});
  }
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  return borders;
}

OwnerBytes RegionOwner::messages(const std::vector<Border>& borders, const Renames& to) const {
  OwnerBytes sent(rows_->owners());
  for (const Border& border : borders) {
    const std::uint32_t name = renamed(border.row, to);
    if (name != border.row) append(sent[border.owner], Rename{border.row, name});
  }
  return sent;
}

void RegionOwner::rename_edges(const Renames& to) {
  if (to.empty()) return;
  ClusterEdges left;
  left.edges.reserve(edges_.size());
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    ClusterEdge& edge = edges_.edges[i];
    const std::uint32_t x = renamed(edge.a, to), y = renamed(edge.b, to);
    if (x == y || !(is_own(x) || is_own(y))) continue;
    edge.a = std::min(x, y);
    edge.b = std::max(x, y);
    left.add_from(edges_, i);
  }
  edges_ = std::move(left);
}

OwnerBytes RegionOwner::merge_own() {
  const std::vector<Border> borders = this->borders();
  GreedyMerger merger(std::move(edges_), rows_->range_of(owner_), options_);
  merger.run();
  merges_.insert(merges_.end(), merger.merges().begin(), merger.merges().end());
  Renames to;
  for (const Border& border : borders)
    to[border.row] = merger.name_of(border.row);
  edges_ = std::move(merger).take_edges();
  return messages(borders, to);
}

void RegionOwner::rename(const OwnerBytes& received) {
  Renames to;
  for_each_value<Rename>(received, [&](const Rename& one) { to[one.from] = one.to; });
  rename_edges(to);
  edges_.unite_equal(options_);
}

std::unordered_map<std::uint32_t, RegionOwner::Best> RegionOwner::best_edges() const {
  const Linkage linkage = options_.rule.linkage;
  std::unordered_map<std::uint32_t, Best> best;
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    const ClusterEdge& edge = edges_.edges[i];
    if (edge.linkage(linkage) < options_.threshold) continue;
    for (const auto& [mine, other] : {std::pair(edge.a, edge.b), std::pair(edge.b, edge.a)}) {
      if (!is_own(mine)) continue;
      const auto [found, is_first] = best.try_emplace(mine, Best{other, i});
      if (!is_first && edge.is_better(edges_.edges[found->second.edge], linkage)) found->second = {other, i};
    }
  }
  return best;
}

OwnerBytes RegionOwner::propose() const {
  OwnerBytes sent(rows_->owners());
  for (const auto& [mine, best] : best_edges()) {
    if (!is_own(best.other)) append(sent[rows_->owner_of(best.other)], Rename{mine, best.other});
  }
  return sent;
}

OwnerBytes RegionOwner::accept(const OwnerBytes& received) {
  const std::unordered_map<std::uint32_t, Best> best = best_edges();
  accepted_.clear();
  for_each_value<Rename>(received, [&](const Rename& pair) {
    const std::uint32_t theirs = pair.from, mine = pair.to;
    const auto found = best.find(mine);
    if (found == best.end() || found->second.other != theirs || theirs > mine) return;
    const ClusterEdge& edge = edges_.edges[found->second.edge];
    merges_.push_back({mine, theirs, edge.sum, edge.count, edge.value});
    accepted_[mine] = theirs;
  });
  return messages(borders(), accepted_);
}

OwnerBytes RegionOwner::move(const OwnerBytes& received) {
  Renames to = accepted_;
  for_each_value<Rename>(received, [&](const Rename& one) { to[one.from] = one.to; });
  OwnerBytes sent(rows_->owners());
  for (std::size_t i = 0; i < edges_.size() && !to.empty(); ++i) {
    ClusterEdge edge = edges_.edges[i];
    if (!counts(edge)) continue;  // the other owner sends it
    const std::uint32_t x = renamed(edge.a, to), y = renamed(edge.b, to);
    if (x == y) continue;
    const std::size_t had_a = owner_, had_b = rows_->owner_of(edge.b);
    edge.a = std::min(x, y);
    edge.b = std::max(x, y);
    const std::size_t first = rows_->owner_of(edge.a), second = rows_->owner_of(edge.b);
    if (first != had_a && first != had_b) append_edge(sent[first], edge, edges_, i);
    if (second != first && second != had_a && second != had_b) append_edge(sent[second], edge, edges_, i);
  }
  rename_edges(to);
  return sent;
}

std::int64_t RegionOwner::edge_count() const {
  return std::count_if(edges_.edges.begin(), edges_.edges.end(),
                       [&](const ClusterEdge& one) { return counts(one); });
}

std::int64_t RegionOwner::merge_count() const {
  return static_cast<std::int64_t>(merges_.size());
}

std::int64_t RegionOwner::open_edge_count() const {
  return std::count_if(edges_.edges.begin(), edges_.edges.end(), [&](const ClusterEdge& one) {
    return counts(one) && one.linkage(options_.rule.linkage) >= options_.threshold;
  });
}

OwnerBytes RegionOwner::give_all(std::size_t root) {
  OwnerBytes sent(rows_->owners());
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    if (counts(edges_.edges[i])) append_edge(sent[root], edges_.edges[i], edges_, i);
  }
  edges_ = {};
  return sent;
}

OwnerBytes RegionOwner::merge_rest() {
  GreedyMerger merger(std::exchange(edges_, {}), RowRange{}, options_);
  merger.run();
  OwnerBytes sent(rows_->owners());
  for (const GreedyMerge& row : merger.merges())
    append(sent[rows_->owner_of(row.gone)], row);
  return sent;
}

void RegionOwner::add_merges(const OwnerBytes& received) {
  for_each_value<GreedyMerge>(received, [&](const GreedyMerge& row) { merges_.push_back(row); });
}

std::vector<GreedyMerge> RegionOwner::take_merges() && {
  std::sort(merges_.begin(), merges_.end(),
            [](const GreedyMerge& x, const GreedyMerge& y) { return x.gone < y.gone; });
  return std::move(merges_);
}

namespace {

/// The owners of this process, and how they make a step together.
class Owners {
 public:
  Owners(const OwnerRows& rows, const AgglomerationOptions& options, const OwnerExchange& exchange)
      : exchange_(&exchange) {
    for (std::size_t i = 0; i < exchange.here(); ++i)
      owners_.emplace_back(rows, exchange.first() + i, options);
  }
  RegionOwner& operator[](std::size_t i) { return owners_[i]; }
  std::size_t size() const { return owners_.size(); }
  /// Collective: what `step` returns for each owner is exchanged and passed to `next`.
  void step(const std::function<OwnerBytes(RegionOwner&)>& step,
            void (RegionOwner::*next)(const OwnerBytes&)) {
    deliver(step, [&](RegionOwner& owner, const OwnerBytes& received) { (owner.*next)(received); });
  }
  /// Collective. As step(); what `answer` returns is exchanged again.
  void step(const std::function<OwnerBytes(RegionOwner&)>& step,
            OwnerBytes (RegionOwner::*answer)(const OwnerBytes&),
            OwnerBytes (RegionOwner::*again)(const OwnerBytes&),
            void (RegionOwner::*last)(const OwnerBytes&)) {
    std::vector<OwnerBytes> answers, more;
    deliver(step, [&](RegionOwner& owner, const OwnerBytes& received) {
      answers.push_back((owner.*answer)(received));
    });
    const std::vector<OwnerBytes> second = exchange_->exchange(std::move(answers));
    for (std::size_t i = 0; i < size(); ++i)
      more.push_back((owners_[i].*again)(second[i]));
    const std::vector<OwnerBytes> third = exchange_->exchange(std::move(more));
    for (std::size_t i = 0; i < size(); ++i)
      (owners_[i].*last)(third[i]);
  }
  /// Of all owners.
  struct Counts {
    std::int64_t open_edges = 0, edges = 0, merges = 0;
  };
  /// Collective.
  Counts counts() const {
    std::array<std::int64_t, 3> sums{};
    for (const RegionOwner& owner : owners_) {
      sums[0] += owner.open_edge_count();
      sums[1] += owner.edge_count();
      sums[2] += owner.merge_count();
    }
    exchange_->sum(sums);
    return {sums[0], sums[1], sums[2]};
  }

 private:
  template <class Function>
  void deliver(const std::function<OwnerBytes(RegionOwner&)>& step, Function&& function) {
    std::vector<OwnerBytes> sent;
    for (RegionOwner& owner : owners_)
      sent.push_back(step(owner));
    const std::vector<OwnerBytes> received = exchange_->exchange(std::move(sent));
    for (std::size_t i = 0; i < size(); ++i)
      function(owners_[i], received[i]);
  }

  const OwnerExchange* exchange_;
  std::vector<RegionOwner> owners_;
};

}  // namespace

std::vector<std::vector<GreedyMerge>> agglomerate_by_owners(const std::vector<ClusterEdges>& shares,
                                                            const OwnerRows& rows,
                                                            const AgglomerationOptions& options,
                                                            std::int64_t gather_edges,
                                                            const OwnerExchange& exchange) {
  Owners owners(rows, options, exchange);
  std::size_t next = 0;
  owners.step([&](RegionOwner& owner) { return owner.distribute(shares[next++]); }, &RegionOwner::add_edges);
  for (std::int64_t merges = -1;;) {
    owners.step([](RegionOwner& owner) { return owner.merge_own(); }, &RegionOwner::rename);
    const Owners::Counts counts = owners.counts();
    if (counts.open_edges == 0) break;
    if (counts.edges <= gather_edges) {
      owners.step([](RegionOwner& owner) { return owner.give_all(0); }, &RegionOwner::add_edges);
      owners.step([](RegionOwner& owner) { return owner.merge_rest(); }, &RegionOwner::add_merges);
      break;
    }
    // The best of all bundles is reciprocally best, so every round merges something.
    if (std::exchange(merges, counts.merges) == counts.merges)
      throw Error(
          "the ranks' copies of the region graph differ, so that no two clusters can merge (do all ranks run "
          "the same version "
          "of Tessera?)");
    owners.step([](RegionOwner& owner) { return owner.propose(); }, &RegionOwner::accept, &RegionOwner::move,
                &RegionOwner::add_edges);
  }
  std::vector<std::vector<GreedyMerge>> merges;
  for (std::size_t i = 0; i < owners.size(); ++i)
    merges.push_back(std::move(owners[i]).take_merges());
  return merges;
}

}  // namespace tessera
