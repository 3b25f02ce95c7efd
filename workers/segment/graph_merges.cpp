#include "workers/segment/graph_merges.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "workers/segment/disjoint_sets.h"
#include "workers/segment/greedy_stage.h"

namespace tessera {
namespace {

/// Kruskal's algorithm with the size rule, where one rank has the whole graph.
void merge_fragments_in_order(OwnedGraph& graph, std::uint64_t fragment_size, std::int64_t floor) {
  std::vector<const BundleRow*> order;
  for (const BundleRow& one : graph.bundles()) {
    if (one.saddle >= floor) order.push_back(&one);
  }
  std::sort(order.begin(), order.end(), [](const BundleRow* x, const BundleRow* y) {
    return x->saddle != y->saddle ? x->saddle > y->saddle : x->edge < y->edge;
  });
  const NameIndex index(graph.names());
  std::vector<std::size_t> parent(graph.names().size());
  std::iota(parent.begin(), parent.end(), std::size_t{0});
  DisjointSets<std::size_t> sets(parent);
  std::vector<std::uint64_t> size = graph.sizes();
  std::vector<NamePair> pairs;
  for (const BundleRow* one : order) {
    const std::size_t a = sets.find(index.find(one->a)), b = sets.find(index.find(one->b));
    if (a == b || std::min(size[a], size[b]) >= fragment_size) continue;
    const std::uint64_t both = size[a] + size[b];
    size[sets.unite(a, b)] = both;
    pairs.push_back({one->a, one->b});
  }
  if (!pairs.empty()) graph.unite(std::move(pairs), kFragmentStage);
}

/// What a small cluster wants to know of the cluster that it has chosen.
struct PartnerState {
  std::uint64_t is_small = 0;
  std::uint64_t edge = 0;  ///< of its own choice
};

/// Step 4: every cluster that may choose takes its best bundle; components of the choices become one each;
/// again, until none may choose.
template <class May>
void merge_in_rounds(OwnedGraph& graph, std::uint64_t lowest, std::int64_t stage, const May& may) {
  while (true) {
    const std::vector<ChoiceRow> chosen =
        graph.choices([](const BundleRow& one) { return one.score(); }, lowest, may);
    if (!graph.world().any(!chosen.empty())) return;
    std::vector<NamePair> pairs(chosen.size());
    std::transform(chosen.begin(), chosen.end(), pairs.begin(), [](const ChoiceRow& one) {
      return NamePair{one.name, one.other};
    });
    graph.unite(std::move(pairs), stage);
  }
}

/// An overlap for the owner of its upper end.
struct AskedOverlap {
  std::uint64_t name = 0, other = 0, common = 0;
  std::int64_t row = 0, rank = 0;  ///< where the answer goes
};
/// The answer: whether the upper end chose this row, and its voxels.
struct OverlapAnswer {
  std::int64_t row = 0, rank = 0;
  std::uint64_t chosen = 0, area = 0;
};

/// Of each run of equal `name` the row of the largest overlap, of equal ones that of the smallest other name.
/// `rows` are ordered by it afterwards.
void mark_best_overlaps(std::vector<AskedOverlap>& rows, std::vector<bool>& best) {
  std::sort(rows.begin(), rows.end(), [](const AskedOverlap& x, const AskedOverlap& y) {
    if (x.name != y.name) return x.name < y.name;
    return x.common != y.common ? x.common > y.common : x.other < y.other;
  });
  best.assign(rows.size(), false);
  for (std::size_t i = 0; i < rows.size(); ++i)
    best[i] = i == 0 || rows[i].name != rows[i - 1].name;
}

/// Collective. For each overlap of this rank, what its upper end answers.
std::vector<OverlapAnswer> answers_of_upper_ends(const OwnedGraph& graph) {
  const Communicator& world = graph.world();
  std::vector<AskedOverlap> asked(graph.overlaps().size());
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const OverlapRow& row = graph.overlaps()[i];
    asked[i] = {row.b, row.a, row.common, static_cast<std::int64_t>(i), world.rank()};
  }
  std::vector<AskedOverlap> got =
      graph.send(std::move(asked), [](const AskedOverlap& row) { return row.name; });
  std::vector<bool> best;
  mark_best_overlaps(got, best);
  const NameIndex index(graph.names());
  std::vector<OverlapAnswer> answers(got.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    answers[i] = {got[i].row, got[i].rank, best[i] ? 1u : 0u, graph.sizes()[index.find(got[i].name)]};
  std::vector<OverlapAnswer> mine = sent_rows(
      world, std::move(answers), [](const OverlapAnswer& row) { return static_cast<int>(row.rank); });
  std::vector<OverlapAnswer> ordered(mine.size());
  for (const OverlapAnswer& one : mine)
    ordered[static_cast<std::size_t>(one.row)] = one;
  return ordered;
}

/// Step 5. Before it, every cluster is within one section, so that `overlaps` has what whole objects share.
void link_sections(OwnedGraph& graph, std::int64_t stage, const MergeOptions& options) {
  constexpr std::uint64_t kMillion = 1'000'000;
  const std::vector<OverlapAnswer> upper = answers_of_upper_ends(graph);
  std::vector<AskedOverlap> rows(graph.overlaps().size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const OverlapRow& row = graph.overlaps()[i];
    rows[i] = {row.a, row.b, row.common, static_cast<std::int64_t>(i), 0};
  }
  std::vector<bool> best;
  mark_best_overlaps(rows, best);
  const NameIndex index(graph.names());
  std::vector<NamePair> pairs;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const AskedOverlap& row = rows[i];
    const OverlapAnswer& other = upper[static_cast<std::size_t>(row.row)];
    const bool down = other.chosen != 0;
    if (options.link_mutual ? !(best[i] && down) : !(best[i] || down)) continue;
    const std::uint64_t all = graph.sizes()[index.find(row.name)] + other.area - row.common;
    if (row.common * kMillion >= static_cast<std::uint64_t>(options.link_millionths) * all)
      pairs.push_back({row.name, row.other});
  }
  graph.drop_overlaps();
  if (graph.world().any(!pairs.empty())) graph.unite(std::move(pairs), stage);
}

/// Collective. One stage. `number`: of the stage, from 1.
void run_merge_stage(OwnedGraph& graph, const MergeStage& stage, std::int64_t number,
                     const MergeOptions& options) {
  switch (stage.kind) {
    case MergeStage::Kind::mean:
      merge_in_rounds(graph, stage.score, number, [](std::size_t) { return true; });
      break;
    case MergeStage::Kind::link:
      link_sections(graph, number, options);
      break;
    case MergeStage::Kind::small:
      merge_in_rounds(graph, stage.score, number, [&](std::size_t place) {
        return graph.sizes()[place] < static_cast<std::uint64_t>(options.small_size);
      });
      break;
  }
}

}  // namespace

void merge_fragments_in_rounds(OwnedGraph& graph, std::int64_t fragment_size, std::int64_t floor) {
  const auto limit = static_cast<std::uint64_t>(fragment_size);
  constexpr std::uint64_t kNoEdge = ~std::uint64_t{0};
  while (true) {
    const auto is_small = [&](std::size_t place) { return graph.sizes()[place] < limit; };
    const std::vector<ChoiceRow> chosen =
        graph.choices([](const BundleRow& one) { return static_cast<std::uint64_t>(one.saddle); },
                      static_cast<std::uint64_t>(std::max<std::int64_t>(floor, 0)), is_small);
    std::vector<std::uint64_t> edges(graph.names().size(), kNoEdge), others;
    for (std::size_t i = 0, place = 0; i < chosen.size(); ++i) {
      while (graph.names()[place] != chosen[i].name)
        ++place;
      edges[place] = chosen[i].edge;
      others.push_back(chosen[i].other);
    }
    const auto states = graph.ask<PartnerState>(others, [&](std::size_t place) {
      return PartnerState{is_small(place) ? 1u : 0u, edges[place]};
    });
    std::vector<NamePair> pairs;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      if (states[i].is_small == 0 || states[i].edge == chosen[i].edge)
        pairs.push_back({chosen[i].name, chosen[i].other});
    }
    if (!graph.world().any(!pairs.empty())) return;
    graph.unite(std::move(pairs), kFragmentStage);
  }
}

void merge_fragments(OwnedGraph& graph, std::int64_t fragment_size, std::int64_t floor) {
  if (graph.world().size() == 1) {
    merge_fragments_in_order(graph, static_cast<std::uint64_t>(fragment_size), floor);
  } else {
    merge_fragments_in_rounds(graph, fragment_size, floor);
  }
}

void run_merge_stages(OwnedGraph& graph, const MergeOptions& options) {
  const bool greedy = options.linkage != MergeLinkage::rounds;
  for (std::size_t i = 0; i < options.stages.size(); ++i) {
    if (!greedy || options.stages[i].kind != MergeStage::Kind::mean) {
      run_merge_stage(graph, options.stages[i], static_cast<std::int64_t>(i) + 1, options);
      continue;
    }
    // One run of greedy merges makes all thresholds that follow each other.
    const auto first = static_cast<std::int64_t>(i) + 1;
    std::vector<Fraction> thresholds{options.stages[i].threshold};
    for (; i + 1 < options.stages.size() && options.stages[i + 1].kind == MergeStage::Kind::mean; ++i)
      thresholds.push_back(options.stages[i + 1].threshold);
    merge_greedily(graph, rule_of(options.linkage), thresholds, first);
  }
}

}  // namespace tessera
