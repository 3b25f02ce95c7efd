#include "workers/segment/owned_graph.h"

#include <algorithm>

namespace tessera {
namespace {

template <class Row>
bool is_before(const Row& x, const Row& y) {
  return x.a != y.a ? x.a < y.a : x.b < y.b;
}
bool is_before(const BinRow& x, const BinRow& y) {
  if (x.a != y.a) return x.a < y.a;
  return x.b != y.b ? x.b < y.b : x.bin.bin < y.bin.bin;
}

void add_to(BundleRow& row, const BundleRow& more) {
  row.sum += more.sum;
  row.count += more.count;
  if (more.saddle > row.saddle || (more.saddle == row.saddle && more.edge < row.edge)) {
    row.saddle = more.saddle;
    row.edge = more.edge;
  }
}
void add_to(OverlapRow& row, const OverlapRow& more) {
  row.common += more.common;
}
void add_to(BinRow& row, const BinRow& more) {
  row.bin.count += more.bin.count;
}

/// Adds `more` to `rows`, which are ordered by (a, b), bins by (a, b, bin); equal ones are summed.
template <class Row>
void merge_into(std::vector<Row>& rows, std::vector<Row> more) {
  if (more.empty()) return;
  const auto before = [](const Row& x, const Row& y) { return is_before(x, y); };
  std::sort(more.begin(), more.end(), before);
  std::vector<Row> merged(rows.size() + more.size());
  std::merge(rows.begin(), rows.end(), more.begin(), more.end(), merged.begin(), before);
  std::size_t end = 0;
  for (std::size_t i = 1; i < merged.size(); ++i) {
    if (!is_before(merged[end], merged[i])) {
      add_to(merged[end], merged[i]);
    } else {
      merged[++end] = merged[i];
    }
  }
  merged.resize(end + 1);
  rows = std::move(merged);
}

/// The pairs with the smaller name first.
template <class Row>
Row ordered(Row row) {
  if (row.b < row.a) std::swap(row.a, row.b);
  return row;
}

}  // namespace

std::vector<ClusterRow> OwnedGraph::clusters() const {
  std::vector<ClusterRow> rows(names_.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = {names_[i], sizes_[i]};
  return rows;
}

void OwnedGraph::add(std::vector<ClusterRow> clusters, std::vector<BundleRow> bundles,
                     std::vector<OverlapRow> overlaps, std::vector<BinRow> bins) {
  has_bins_ = world_.any(has_bins_ || !bins.empty());
  std::vector<ClusterRow> mine = send(std::move(clusters), [](const ClusterRow& row) { return row.name; });
  const std::vector<ClusterRow> before = this->clusters();
  mine.insert(mine.end(), before.begin(), before.end());
  std::sort(mine.begin(), mine.end(),
            [](const ClusterRow& x, const ClusterRow& y) { return x.name < y.name; });
  names_.clear();
  sizes_.clear();
  for (const ClusterRow& row : mine) {
    if (names_.empty() || names_.back() != row.name) {
      names_.push_back(row.name);
      sizes_.push_back(0);
    }
    sizes_.back() += row.size;
  }
  index_ = NameIndex(names_);
  add_edges(std::move(bundles), std::move(overlaps), std::move(bins));
}

void OwnedGraph::add_edges(std::vector<BundleRow> bundles, std::vector<OverlapRow> overlaps,
                           std::vector<BinRow> bins) {
  std::transform(bundles.begin(), bundles.end(), bundles.begin(), ordered<BundleRow>);
  merge_into(bundles_, send(std::move(bundles), [](const BundleRow& row) { return row.a; }));
  std::transform(overlaps.begin(), overlaps.end(), overlaps.begin(), ordered<OverlapRow>);
  merge_into(overlaps_, send(std::move(overlaps), [](const OverlapRow& row) { return row.a; }));
  if (!has_bins_) return;
  std::transform(bins.begin(), bins.end(), bins.begin(), ordered<BinRow>);
  merge_into(bins_, send(std::move(bins), [](const BinRow& row) { return row.a; }));
}

/// Collective. Follows pointers to smaller names until every one is its own.
void OwnedGraph::follow(std::vector<std::uint64_t>& roots) const {
  for (bool changes = true; changes;) {
    std::vector<std::size_t> places;
    std::vector<std::uint64_t> asked;
    for (std::size_t i = 0; i < roots.size(); ++i) {
      if (roots[i] == names_[i]) continue;
      places.push_back(i);
      asked.push_back(roots[i]);
    }
    const auto next = ask<std::uint64_t>(asked, [&](std::size_t place) { return roots[place]; });
    bool changed = false;
    for (std::size_t i = 0; i < places.size(); ++i) {
      changed = changed || roots[places[i]] != next[i];
      roots[places[i]] = next[i];
    }
    changes = world_.any(changed);
  }
}

/// The smallest name of each cluster's component: larger roots are hooked to smaller ones, then pointers are
/// followed, until no pair has two roots.
std::vector<std::uint64_t> OwnedGraph::roots_of(std::vector<NamePair> pairs) const {
  std::vector<std::uint64_t> roots = names_;
  while (true) {
    std::vector<std::uint64_t> asked;
    for (const NamePair& pair : pairs) {
      asked.push_back(pair.a);
      asked.push_back(pair.b);
    }
    const auto found = ask<std::uint64_t>(asked, [&](std::size_t place) { return roots[place]; });
    std::vector<NamePair> hooks;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const NamePair both{found[2 * i], found[2 * i + 1]};
      if (both.a != both.b) hooks.push_back({std::max(both.a, both.b), std::min(both.a, both.b)});
    }
    pairs = hooks;
    if (!world_.any(!hooks.empty())) return roots;
    for (const NamePair& hook : send(std::move(hooks), [](const NamePair& row) { return row.a; })) {
      std::uint64_t& root = roots[index_.find(hook.a)];
      root = std::min(root, hook.b);
    }
    follow(roots);
  }
}

/// Removes the rows whose ends have changed, and returns them with their new ends; without those within one
/// cluster.
template <class Row>
std::vector<Row> OwnedGraph::renamed(std::vector<Row>& rows, const std::vector<std::uint64_t>& roots) const {
  std::vector<std::uint64_t> ends;  // once for the bins of a bundle, which follow each other
  for (const Row& row : rows) {
    if (ends.empty() || ends.back() != row.b) ends.push_back(row.b);
  }
  const auto found = ask<std::uint64_t>(ends, [&](std::size_t place) { return roots[place]; });
  std::vector<Row> changed;
  std::size_t kept = 0;
  for (std::size_t i = 0, end = 0; i < rows.size(); ++i) {
    if (rows[i].b != ends[end]) ++end;
    const std::uint64_t a = roots[index_.find(rows[i].a)], b = found[end];
    if (a == rows[i].a && b == rows[i].b) {
      rows[kept++] = rows[i];
    } else if (a != b) {
      Row row = rows[i];
      row.a = std::min(a, b);
      row.b = std::max(a, b);
      changed.push_back(row);
    }
  }
  rows.resize(kept);
  return changed;
}

void OwnedGraph::contract(const std::vector<std::uint64_t>& roots) {
  std::vector<BundleRow> bundles = renamed(bundles_, roots);
  std::vector<OverlapRow> overlaps = renamed(overlaps_, roots);
  std::vector<BinRow> bins = has_bins_ ? renamed(bins_, roots) : std::vector<BinRow>();
  std::vector<ClusterRow> gone;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (roots[i] == names_[i]) {
      names_[kept] = names_[i];
      sizes_[kept++] = sizes_[i];
    } else {
      gone.push_back({roots[i], sizes_[i]});
    }
  }
  if (kept < names_.size()) {
    names_.resize(kept);
    sizes_.resize(kept);
    index_ = NameIndex(names_);
  }
  for (const ClusterRow& row : send(std::move(gone), [](const ClusterRow& one) { return one.name; }))
    sizes_[index_.find(row.name)] += row.size;
  add_edges(std::move(bundles), std::move(overlaps), std::move(bins));
}

void OwnedGraph::unite(std::vector<NamePair> pairs, std::int64_t stage) {
  const std::vector<std::uint64_t> roots = roots_of(std::move(pairs));
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (roots[i] != names_[i]) merges_.push_back({names_[i], roots[i], stage});
  }
  contract(roots);
}

void OwnedGraph::apply(std::vector<MergeRow> merges) {
  merges = send(std::move(merges), [](const MergeRow& row) { return row.name; });
  std::vector<std::uint64_t> roots = names_;
  for (const MergeRow& row : merges)
    roots[index_.find(row.name)] = row.into;
  follow(roots);
  contract(roots);
  merges_.insert(merges_.end(), merges.begin(), merges.end());
}

}  // namespace tessera
