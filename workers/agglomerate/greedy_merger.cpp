#include "workers/agglomerate/greedy_merger.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/base/error.h"
#include "workers/numbers/bit_mix.h"

namespace tessera {
namespace {

/// Slots are found by an array where at least every fourth row has an edge, else by bisection.
constexpr std::size_t kSparse = 4;
/// Table entries that are loaded ahead of their use.
constexpr std::uint32_t kAhead = 8;

}  // namespace

GreedyMerger::GreedyMerger(ClusterEdges edges, const RowRange& own, const AgglomerationOptions& options)
    : options_(options), edges_(std::move(edges)) {
  constexpr std::size_t kMostEdges = std::size_t{1} << 31;
  if (edges_.size() >= kMostEdges)
    throw Error(fmt::format(
        "a rank has {} bundles of the region graph, and at most 2^31 - 1 can be agglomerated: use more ranks",
        edges_.size()));
  number_slots();
  const std::size_t count = edges_.size(), slots = rows_.size();
  slot_of_half_.resize(2 * count);
  row_of_ = rows_;
  parent_.resize(slots);
  may_not_.resize(slots);
  for (Slot slot = 0; slot < slots; ++slot) {
    parent_[slot] = slot;
    may_not_[slot] = own.has(rows_[slot]) ? 0 : 1;
  }
  live_ = count;
  for (std::uint32_t e = 0; e < count; ++e) {
    slot_of_half_[2 * e] = slot_of_first_row(edges_.edges[e].a);
    slot_of_half_[2 * e + 1] = slot_of_first_row(edges_.edges[e].b);
  }
  rebuild_table();
  list_halves();
  heap_.reserve(count);
  for (std::uint32_t e = 0; e < count; ++e) {
    if (slot_of_half_[2 * e] != kNone) push(e);
  }
  std::make_heap(heap_.begin(), heap_.end(), HeapOrder());
}

void GreedyMerger::number_slots() {
  std::uint32_t last_row = 0;
  first_row_ = kNone;
  for (const ClusterEdge& edge : edges_.edges) {
    first_row_ = std::min(first_row_, edge.a);
    last_row = std::max(last_row, edge.b);
  }
  if (edges_.edges.empty()) return;
  const std::size_t range = std::size_t{last_row} - first_row_ + 1;
  if (range <= kSparse * edges_.size()) {
    slot_of_row_.assign(range, 0);
    for (const ClusterEdge& edge : edges_.edges)
      slot_of_row_[edge.a - first_row_] = slot_of_row_[edge.b - first_row_] = 1;
    for (std::size_t i = 0; i < range; ++i) {
      if (slot_of_row_[i] == 0) continue;
      slot_of_row_[i] = static_cast<Slot>(rows_.size());
      rows_.push_back(first_row_ + static_cast<std::uint32_t>(i));
    }
    return;
  }
  rows_.reserve(2 * edges_.size());
  for (const ClusterEdge& edge : edges_.edges) {
    rows_.push_back(edge.a);
    rows_.push_back(edge.b);
  }
  std::sort(rows_.begin(), rows_.end());
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
}

GreedyMerger::Slot GreedyMerger::slot_of_first_row(std::uint32_t row) const {
  if (!slot_of_row_.empty()) return slot_of_row_[row - first_row_];
  return static_cast<Slot>(std::lower_bound(rows_.begin(), rows_.end(), row) - rows_.begin());
}

std::uint32_t GreedyMerger::name_of(std::uint32_t row) const {
  const auto found = std::lower_bound(rows_.begin(), rows_.end(), row);
  if (found == rows_.end() || *found != row) return row;
  Slot slot = static_cast<Slot>(found - rows_.begin());
  while (parent_[slot] != slot)
    slot = parent_[slot];
  return row_of_[slot];
}

std::uint64_t GreedyMerger::pair_of(Slot x, Slot y) {
  return (std::uint64_t{std::min(x, y)} << 32) | std::max(x, y);
}

GreedyMerger::TableEntry& GreedyMerger::entry_of(std::uint64_t pair) {
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = mix_bits(pair) & mask;; at = (at + 1) & mask) {
    if (table_[at].edge == kNone || table_[at].pair == pair) return table_[at];
  }
}

void GreedyMerger::prefetch(std::uint64_t pair) const {
  __builtin_prefetch(&table_[mix_bits(pair) & (table_.size() - 1)]);
}

/// Enters the edge under its slots. One that is there already is united with it; the better one is left.
void GreedyMerger::enter(std::uint32_t edge) {
  const std::uint64_t pair = pair_of(slot_of_half_[2 * edge], slot_of_half_[2 * edge + 1]);
  TableEntry& entry = entry_of(pair);
  if (entry.edge != kNone) {
    const bool is_better = edges_.edges[edge].is_better(edges_.edges[entry.edge], options_.rule.linkage);
    const std::uint32_t worse = is_better ? entry.edge : edge;
    if (is_better) entry.edge = edge;
    unite(entry.edge, worse);
    return;
  }
  entry = {pair, edge};
  if (3 * ++entries_ > 2 * table_.size()) rebuild_table();
}

void GreedyMerger::rebuild_table() {
  std::size_t size = 16;
  while (size < 2 * live_)
    size *= 2;
  table_.assign(size, {0, kNone});
  entries_ = 0;
  for (std::uint32_t e = 0, ahead = 0; e < edges_.size(); ++e) {
    for (; ahead < edges_.size() && ahead < e + kAhead; ++ahead)
      prefetch(pair_of(slot_of_half_[2 * ahead], slot_of_half_[2 * ahead + 1]));
    if (slot_of_half_[2 * e] != kNone) enter(e);
  }
}

void GreedyMerger::list_halves() {
  const std::size_t slots = rows_.size();
  halves_begin_.assign(slots + 1, 0);
  for (const Slot slot : slot_of_half_) {
    if (slot != kNone) ++halves_begin_[slot + 1];
  }
  for (std::size_t slot = 0; slot < slots; ++slot)
    halves_begin_[slot + 1] += halves_begin_[slot];
  halves_.resize(halves_begin_.back());
  std::vector<std::size_t> next(halves_begin_.begin(), halves_begin_.end() - 1);
  for (std::uint32_t half = 0; half < slot_of_half_.size(); ++half) {
    if (slot_of_half_[half] != kNone) halves_[next[slot_of_half_[half]]++] = half;
  }
  next_.assign(slots, kNone);
  chain_end_.resize(slots);
  chain_halves_.resize(slots);
  for (Slot slot = 0; slot < slots; ++slot) {
    chain_end_[slot] = slot;
    chain_halves_[slot] = halves_begin_[slot + 1] - halves_begin_[slot];
  }
}

void GreedyMerger::remove(std::uint32_t edge) {
  slot_of_half_[2 * edge] = slot_of_half_[2 * edge + 1] = kNone;
  --live_;
}

void GreedyMerger::unite(std::uint32_t whole, std::uint32_t part) {
  edges_.unite(whole, edges_, part, options_);
  remove(part);
}

void GreedyMerger::push(std::uint32_t edge) {
  const ClusterEdge& one = edges_.edges[edge];
  const Fraction linkage = one.linkage(options_.rule.linkage);
  if (linkage >= options_.threshold) heap_.push_back({linkage, one.ordinal, edge});
}

void GreedyMerger::run() {
  const auto drop_first = [&] {
    std::pop_heap(heap_.begin(), heap_.end(), HeapOrder());
    heap_.pop_back();
  };
  while (!heap_.empty()) {
    const HeapEntry best = heap_.front();
    drop_first();
    const Slot x = slot_of_half_[2 * best.edge], y = slot_of_half_[2 * best.edge + 1];
    if (x == kNone) continue;
    const ClusterEdge& edge = edges_.edges[best.edge];
    if (edge.ordinal != best.ordinal || edge.linkage(options_.rule.linkage) != best.linkage) {
      const std::size_t before = heap_.size();
      push(best.edge);
      if (heap_.size() > before) std::push_heap(heap_.begin(), heap_.end(), HeapOrder());
    } else if (may_not_[x] != 0 || may_not_[y] != 0) {
      may_not_[x] = may_not_[y] = 1;
    } else {
      merge(best.edge);
    }
  }
}

void GreedyMerger::merge(std::uint32_t edge) {
  Slot to = slot_of_half_[2 * edge], from = slot_of_half_[2 * edge + 1];
  const std::uint32_t into = std::min(row_of_[to], row_of_[from]),
                      gone = std::max(row_of_[to], row_of_[from]);
  const ClusterEdge& between = edges_.edges[edge];
  merges_.push_back({gone, into, between.sum, between.count, between.value});
  remove(edge);
  if (chain_halves_[to] < chain_halves_[from]) std::swap(to, from);
  row_of_[to] = into;
  parent_[from] = to;
  moving_.clear();
  for (Slot slot = from; slot != kNone; slot = next_[slot]) {
    for (std::size_t i = halves_begin_[slot]; i < halves_begin_[slot + 1]; ++i) {
      const std::uint32_t half = halves_[i];
      if (slot_of_half_[half] == kNone) continue;
      prefetch(pair_of(to, slot_of_half_[half ^ 1U]));
      moving_.push_back(half);
    }
  }
  for (const std::uint32_t half : moving_)
    move_half(half, to);
  next_[chain_end_[to]] = from;
  chain_end_[to] = chain_end_[from];
  chain_halves_[to] += chain_halves_[from];
}

void GreedyMerger::move_half(std::uint32_t half, Slot to) {
  const std::uint32_t edge = half / 2;
  slot_of_half_[half] = to;
  const std::uint64_t pair = pair_of(to, slot_of_half_[half ^ 1U]);
  TableEntry& entry = entry_of(pair);
  const std::uint32_t there = entry.edge;
  if (there == kNone) {
    entry = {pair, edge};
    if (3 * ++entries_ > 2 * table_.size()) rebuild_table();
  } else if (edges_.edges[edge].is_better(edges_.edges[there], options_.rule.linkage)) {
    entry.edge = edge;
    unite(edge, there);
  } else {
    unite(there, edge);
  }
}

ClusterEdges GreedyMerger::take_edges() && {
  ClusterEdges left;
  left.edges.reserve(live_);
  for (std::uint32_t e = 0; e < edges_.size(); ++e) {
    if (slot_of_half_[2 * e] == kNone) continue;
    ClusterEdge edge = edges_.edges[e];
    const std::uint32_t x = row_of_[slot_of_half_[2 * e]], y = row_of_[slot_of_half_[2 * e + 1]];
    edge.a = std::min(x, y);
    edge.b = std::max(x, y);
    left.add(edge, edges_.bins.empty() ? std::vector<HistogramBin>() : std::move(edges_.bins[e]));
  }
  return left;
}

}  // namespace tessera
