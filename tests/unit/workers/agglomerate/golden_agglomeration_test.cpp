#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "golden_graph.h"
#include "io/base/error.h"
#include "io/base/sha256.h"
#include "workers/agglomerate/agglomeration.h"
#include "workers/agglomerate/merge_tree.h"
#include "workers/agglomerate/region_owner.h"
#include "workers/agglomerate/small_objects.h"
#include "workers/agglomerate/stage_scores.h"

namespace tessera {
namespace {

using testing::GoldenGraph;

template <class T>
std::string digest(const std::vector<T>& values) {
  return Sha256().add(std::as_bytes(std::span(values))).hex();
}

/// int64 rows (gone, into, sum, count) by name, sorted, as the reference digests them.
std::string merge_digest(std::vector<GreedyMerge> merges, const RegionGraph& graph) {
  std::sort(merges.begin(), merges.end(),
            [](const GreedyMerge& x, const GreedyMerge& y) { return x.gone < y.gone; });
  std::vector<std::uint64_t> table;
  for (const GreedyMerge& row : merges) {
    const std::array<std::uint64_t, 4> values{graph.name[row.gone], graph.name[row.into], row.sum, row.count};
    table.insert(table.end(), values.begin(), values.end());
  }
  return digest(table);
}

AgglomerationOptions mean_down_to(double threshold) {
  return {{Linkage::mean, 50}, weight_threshold(threshold), OrdinalRule::larger};
}

std::vector<Fraction> thresholds_of(const nlohmann::json& expected) {
  std::vector<Fraction> thresholds;
  for (const double one : expected.at("thresholds"))
    thresholds.push_back(weight_threshold(one));
  return thresholds;
}

MergeTree tree_of(const GoldenGraph& golden) {
  const std::vector<TreeMerge> merges =
      in_stages(agglomerate(golden.graph, mean_down_to(0.3)), Linkage::mean, thresholds_of(golden.expected));
  return {static_cast<std::uint32_t>(golden.graph.rows()), merges};
}

class GoldenAgglomeration : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenGraph golden_{GetParam()};
};

TEST_P(GoldenAgglomeration, MergesAreThoseOfTheReference) {
  // "merges" of the reference's expected.json.
  const std::map<std::string, std::string> known{
      {"volume", "796e4ba46874ac603f94022bbc1ed00e7a6a3238718da540a8aa4879729a2238"},
      {"plain", "a7222722923661134f2d435a9e65e3f6aa7f56afab9d43f951a940f18d89f1d8"}};
  EXPECT_EQ(golden_.expected.at("merges_to_0.6"), known.at(GetParam()));
  EXPECT_EQ(merge_digest(agglomerate(golden_.graph, mean_down_to(0.6)), golden_.graph), known.at(GetParam()));
  for (const std::size_t owners : {2, 3, 7}) {
    const OwnerRows rows = OwnerRows::even(static_cast<std::uint32_t>(golden_.graph.rows()), owners);
    std::vector<ClusterEdges> shares(owners);
    shares[1] = first_edges(golden_.graph, {});
    std::vector<GreedyMerge> merges;
    for (const auto& some : agglomerate_by_owners(shares, rows, mean_down_to(0.6), 0, LocalExchange(owners)))
      merges.insert(merges.end(), some.begin(), some.end());
    EXPECT_EQ(merge_digest(merges, golden_.graph), known.at(GetParam())) << owners;
  }
}

TEST_P(GoldenAgglomeration, CutsAreThoseOfTheReference) {
  const std::vector<GreedyMerge> merges = agglomerate(golden_.graph, mean_down_to(0.3));
  int cuts = 0;
  for (const auto& [threshold, expected] : golden_.expected.at("cuts").items()) {
    const std::vector<Fraction> thresholds{weight_threshold(std::stod(threshold))};
    const MergeTree tree(static_cast<std::uint32_t>(golden_.graph.rows()),
                         in_stages(merges, Linkage::mean, thresholds));
    const std::vector<std::uint64_t> id = object_ids(tree.cut(1), golden_.graph.name, golden_.graph.size, 0);
    std::vector<std::uint64_t> labels;
    for (const std::uint64_t supervoxel : golden_.supervoxels) {
      const auto row = std::lower_bound(golden_.graph.name.begin(), golden_.graph.name.end(), supervoxel - 1);
      labels.push_back(id[static_cast<std::size_t>(row - golden_.graph.name.begin())]);
    }
    EXPECT_EQ(digest(labels), expected) << threshold;
    ++cuts;
  }
  EXPECT_EQ(cuts, 3);
}

TEST_P(GoldenAgglomeration, StagesAreThoseOfTheFile) {
  const std::vector<TreeMerge> merges = in_stages(agglomerate(golden_.graph, mean_down_to(0.3)),
                                                  Linkage::mean, thresholds_of(golden_.expected));
  ASSERT_EQ(merges.size(), golden_.file.tree_id.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    EXPECT_EQ(golden_.graph.name[merges[i].gone] + 1, golden_.file.tree_id[i]);
    EXPECT_EQ(golden_.graph.name[merges[i].into] + 1, golden_.file.tree_into[i]);
    EXPECT_EQ(merges[i].stage, golden_.file.tree_stage[i]);
  }
}

TEST_P(GoldenAgglomeration, StagesHaveTheScoresOfScikitImage) {
  LabelTable table;
  table.add_voxels(std::span<const std::uint64_t>(golden_.cells),
                   std::span<const std::uint64_t>(golden_.supervoxels));
  const MergeTree tree = tree_of(golden_);
  const std::vector<StageScores> stages =
      score_stages(tree, golden_.file.supervoxel_id, table, Communicator::alone());
  const auto& expected = golden_.expected.at("stages");
  ASSERT_EQ(stages.size(), expected.size());
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const LabelScores scores = scores_of(stages[i].sums);
    EXPECT_EQ(stages[i].objects, expected[i].at("objects").get<std::int64_t>());
    EXPECT_NEAR(scores.voi_split, expected[i].at("voi_split").get<double>(), 1e-12);
    EXPECT_NEAR(scores.voi_merge, expected[i].at("voi_merge").get<double>(), 1e-12);
    EXPECT_NEAR(scores.adapted_rand_error, expected[i].at("adapted_rand_error").get<double>(), 1e-12);
    EXPECT_NEAR(scores.rand_precision, expected[i].at("precision").get<double>(), 1e-12);
    EXPECT_NEAR(scores.rand_recall, expected[i].at("recall").get<double>(), 1e-12);
    // To the bit the scores of the objects' voxels.
    const std::vector<std::uint64_t> id =
        object_ids(tree.cut(static_cast<std::uint32_t>(i)), golden_.graph.name, golden_.graph.size, 0);
    std::vector<std::uint64_t> objects;
    for (const std::uint64_t supervoxel : golden_.supervoxels) {
      const auto row = std::lower_bound(golden_.graph.name.begin(), golden_.graph.name.end(), supervoxel - 1);
      objects.push_back(id[static_cast<std::size_t>(row - golden_.graph.name.begin())]);
    }
    LabelTable whole;
    whole.add_voxels(std::span<const std::uint64_t>(golden_.cells), std::span<const std::uint64_t>(objects));
    EXPECT_EQ(label_sums(std::move(whole), Communicator::alone()), stages[i].sums);
  }
  const StageScores* best = best_by_voi(stages);
  ASSERT_NE(best, nullptr);
  for (const StageScores& one : stages)
    EXPECT_GE(scores_of(one.sums).voi, scores_of(best->sums).voi);
  EXPECT_GT(best->stage, 0U);
}

TEST_P(GoldenAgglomeration, SmallObjectsMergeAsInTheReference) {
  const auto& small = golden_.expected.at("small");
  const std::vector<Fraction> from{weight_threshold(small.at("from"))};
  const auto rows = static_cast<std::uint32_t>(golden_.graph.rows());
  const std::vector<GreedyMerge> greedy = agglomerate(golden_.graph, mean_down_to(0.6));
  std::vector<TreeMerge> merges = in_stages(greedy, Linkage::mean, from);
  const std::vector<TreeMerge> found =
      merge_small_objects(golden_.graph, MergeTree(rows, merges).cut(1), small.at("size"),
                          threshold_score(small.at("threshold")), 2);
  ASSERT_EQ(found.size(), small.at("merges").size());
  ASSERT_GT(found.size(), 5U);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(golden_.graph.name[found[i].gone], small.at("merges")[i][0].get<std::uint64_t>());
    EXPECT_EQ(golden_.graph.name[found[i].into], small.at("merges")[i][1].get<std::uint64_t>());
  }
  merges.insert(merges.end(), found.begin(), found.end());
  EXPECT_EQ(MergeTree(rows, merges).stages(), 2U);  // the small objects' merges are a stage of the tree
}

INSTANTIATE_TEST_SUITE_P(Volumes, GoldenAgglomeration, ::testing::Values("volume", "plain"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace tessera
