#include "workers/segment/owned_graph.h"

#include <algorithm>

namespace tessera {
namespace {

template <class Row>
bool is_before(const Row& x, const Row& y) {
  return x.a != y.a ? x.a < y.a : x.b < y.b;
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

/// Adds `more` to `rows`, which are ordered by (a, b); equal pairs are summed.
template <class Row>
void merge_into(std::vector<Row>& rows, std::vector<Row> more) {
  if (more.empty()) return;
  std::sort(more.begin(), more.end(), is_before<Row>);
  std::vector<Row> merged(rows.size() + more.size());
  std::merge(rows.begin(), rows.end(), more.begin(), more.end(), merged.begin(), is_before<Row>);
  std::size_t end = 0;
  for (std::size_t i = 1; i < merged.size(); ++i) {
    if (merged[end].a == merged[i].a && merged[end].b == merged[i].b) {
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
                     std::vector<OverlapRow> overlaps) {
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
  add_edges(std::move(bundles), std::move(overlaps));
}

void OwnedGraph::add_edges(std::vector<BundleRow> bundles, std::vector<OverlapRow> overlaps) {
  std::transform(bundles.begin(), bundles.end(), bundles.begin(), ordered<BundleRow>);
  merge_into(bundles_, send(std::move(bundles), [](const BundleRow& row) { return row.a; }));
  std::transform(overlaps.begin(), overlaps.end(), overlaps.begin(), ordered<OverlapRow>);
  merge_into(overlaps_, send(std::move(overlaps), [](const OverlapRow& row) { return row.a; }));
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
  std::vector<std::uint64_t> ends(rows.size());
  std::transform(rows.begin(), rows.end(), ends.begin(), [](const Row& row) { return row.b; });
  const auto b = ask<std::uint64_t>(ends, [&](std::size_t place) { return roots[place]; });
  std::vector<Row> changed;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::uint64_t a = roots[index_.find(rows[i].a)];
    if (a == rows[i].a && b[i] == rows[i].b) {
      rows[kept++] = rows[i];
    } else if (a != b[i]) {
      Row row = rows[i];
      row.a = std::min(a, b[i]);
      row.b = std::max(a, b[i]);
      changed.push_back(row);
    }
  }
  rows.resize(kept);
  return changed;
}

void OwnedGraph::contract(const std::vector<std::uint64_t>& roots) {
  std::vector<BundleRow> bundles = renamed(bundles_, roots);
  std::vector<OverlapRow> overlaps = renamed(overlaps_, roots);
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
  add_edges(std::move(bundles), std::move(overlaps));
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
