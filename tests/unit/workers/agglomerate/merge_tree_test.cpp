#include "workers/agglomerate/merge_tree.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/base/error.h"
#include "workers/agglomerate/small_objects.h"
#include "workers/agglomerate/stage_scores.h"

namespace tessera {
namespace {

using Rows = std::vector<std::uint32_t>;

TEST(MergeTree, ACutFollowsTheMergesUpToItsStage) {
  const MergeTree tree(6, std::vector<TreeMerge>{{1, 0, 1}, {3, 2, 1}, {2, 0, 2}, {5, 4, 3}});
  EXPECT_EQ(tree.stages(), 3U);
  EXPECT_EQ(tree.cut(0), (Rows{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(tree.cut(1), (Rows{0, 0, 2, 2, 4, 5}));
  EXPECT_EQ(tree.cut(2), (Rows{0, 0, 0, 0, 4, 5}));
  EXPECT_EQ(tree.cut(9), (Rows{0, 0, 0, 0, 4, 4}));
}

TEST(MergeTree, RejectsMergesThatAreNoTree) {
  const auto message = [](const std::vector<TreeMerge>& merges) {
    try {
      const MergeTree tree(4, merges);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message({{3, 1, 1}, {1, 0, 1}}), "");
  EXPECT_NE(message({{1, 2, 1}}).find("row 1 into row 2"), std::string::npos);
  EXPECT_NE(message({{4, 2, 1}}).find("row 4 into row 2"), std::string::npos);
  EXPECT_NE(message({{2, 1, 0}}).find("at stage 0"), std::string::npos);
  EXPECT_NE(message({{2, 1, 1}, {2, 0, 1}}).find("row 2 twice"), std::string::npos);
  EXPECT_NE(message({{2, 1, 2}, {1, 0, 1}}).find("row 2 at stage 2"), std::string::npos);
}

TEST(MergeTree, IdsAreThePlacesOfTheFirstVoxels) {
  const Rows objects{0, 0, 2, 2, 4};
  const std::vector<std::uint64_t> name{0, 3, 10, 12, 40}, size{5, 5, 2, 2, 50};
  EXPECT_EQ(object_ids(objects, name, size, 0), (std::vector<std::uint64_t>{1, 1, 11, 11, 41}));
  EXPECT_EQ(object_ids(objects, name, size, 5), (std::vector<std::uint64_t>{1, 1, 0, 0, 41}));
  EXPECT_EQ(object_ids(objects, name, size, 5, ObjectIdKind::compact),
            (std::vector<std::uint64_t>{1, 1, 0, 0, 2}));
}

TEST(MergeTree, LinkagesBecomeStages) {
  const std::vector<GreedyMerge> merges{{5, 1, 9, 1, 0}, {3, 2, 6, 1, 0}, {2, 1, 3, 1, 0}, {4, 1, 1, 1, 0}};
  const std::vector<Fraction> thresholds{{9, 1}, {5, 1}, {2, 1}};
  EXPECT_EQ(in_stages(merges, Linkage::mean, thresholds),
            (std::vector<TreeMerge>{{2, 1, 3}, {3, 2, 2}, {5, 1, 1}}));
}

TEST(SmallObjects, JoinTheNeighbourOfTheBestScore) {
  RegionGraph graph;
  graph.name = {0, 10, 20, 30};
  graph.size = {100, 3, 100, 4};
  graph.a = {0, 1, 0, 2};
  graph.b = {1, 2, 2, 3};
  graph.sum = {20, 30, 900, 1};
  graph.count = {1, 1, 1, 1};
  graph.saddle = {20, 30, 900, 1};
  const Rows alone{0, 1, 2, 3};
  // 1 prefers 2; 3 has only a bundle below the lowest score; large ones do not choose.
  EXPECT_EQ(merge_small_objects(graph, alone, 10, 256 * 2, 7), (std::vector<TreeMerge>{{2, 1, 7}}));
  EXPECT_EQ(merge_small_objects(graph, alone, 10, 0, 7), (std::vector<TreeMerge>{{2, 1, 7}, {3, 1, 7}}));
  EXPECT_TRUE(merge_small_objects(graph, alone, 3, 0, 7).empty());
}

TEST(StageScores, ListSplitsAndMergesWithTheirParts) {
  // True 7 is split into supervoxels 1, 2 and 3; supervoxel 3 merges 7 and 9. 1 and 2 merge at stage 1.
  LabelTable table;
  table.add(7, 1, 50);
  table.add(7, 2, 30);
  table.add(7, 3, 15);
  table.add(7, 0, 5);
  table.add(9, 3, 20);
  table.add(0, 3, 99);
  const std::vector<std::uint64_t> ids{1, 2, 3};
  const MergeTree tree(3, std::vector<TreeMerge>{{1, 0, 1}});
  const SplitsAndMerges first = splits_and_merges(tree, 0, ids, table, Communicator::alone());
  ASSERT_EQ(first.split.size(), 1U);
  EXPECT_EQ(first.split[0].label, 7U);
  EXPECT_EQ(first.split[0].voxels, 100);
  EXPECT_EQ(first.split[0].parts, (std::vector<SharedPart>{{1, 50}, {2, 30}, {3, 15}, {0, 5}}));
  ASSERT_EQ(first.merged.size(), 1U);
  EXPECT_EQ(first.merged[0].label, 3U);
  EXPECT_EQ(first.merged[0].voxels, 35);
  EXPECT_EQ(first.merged[0].parts, (std::vector<SharedPart>{{9, 20}, {7, 15}}));
  EXPECT_EQ(splits_and_merges(tree, 1, ids, table, Communicator::alone()).split[0].parts,
            (std::vector<SharedPart>{{1, 80}, {3, 15}, {0, 5}}));
  table.add(9, 4, 1);
  EXPECT_THROW(splits_and_merges(tree, 1, ids, table, Communicator::alone()), Error);
}

}  // namespace
}  // namespace tessera
