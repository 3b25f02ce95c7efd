#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>

#include "io/base/error.h"
#include "tests/unit/workers/agglomerate/golden_graph.h"
#include "tests/unit/workers/segment/golden_segmentation.h"
#include "tests/unit/workers/segment/random_rows.h"

namespace tessera {
namespace {

const std::string kGolden = std::string(TESSERA_GOLDEN) + "/segmentation";

TEST(SegmentGolden, OneBlockEqualsTheOracle) {
  const auto cases = testing::golden_cases(kGolden);
  ASSERT_EQ(cases.size(), 12u);
  for (const testing::GoldenCase& one : cases) {
    const auto found = testing::segment_by_blocks(one, one.values.shape, Communicator::alone(), 0);
    EXPECT_EQ(found.blocks, 1u);
    testing::expect_golden(one, found, one.name);
  }
}

TEST(SegmentGolden, BlocksDoNotShow) {
  std::size_t compared = 0;
  for (testing::GoldenCase one : testing::golden_cases(kGolden)) {
    const Index3 shape = one.values.shape;
    const bool large = shape.y > 32;
    std::vector<Index3> blocks{{shape.z, 7, shape.x}, {3, shape.y, 16}, {5, 13, 11}, {shape.z, shape.y, 1}};
    if (large) blocks = {{17, 32, 29}, {shape.z + 5, 20, 64}, {1, 64, 64}};
    for (const Index3& block : blocks) {
      for (const bool certain : {true, false}) {
        one.block.certain_merges = certain;
        const auto found = testing::segment_by_blocks(one, block, Communicator::alone(), 0);
        EXPECT_GT(found.blocks, 1u);
        testing::expect_golden(one, found, one.name + " in blocks of " + to_string(block));
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, 72u);
}

/// Fragments of smoothed weights. The sums are of tests/golden/segmentation/reference.py, on the weights that
/// a filter (1, 2, 1) along y and x gives: mirrored without repeating the edge, divided once, rounded down.
TEST(SegmentGolden, SmoothingEqualsTheOracleInAnyBlocks) {
  const auto cases = testing::golden_cases(kGolden);
  const auto odd = std::ranges::find(cases, "odd", &testing::GoldenCase::name);
  ASSERT_NE(odd, cases.end());
  testing::GoldenCase one = *odd;
  one.mask.reset();
  one.block.fragment_size = 20;
  const std::vector<std::string> expected{"7e71085a40d399fe814ea131fcfcaea22290cd321b9c3da058d5c69e580f2979",
                                          "995682292ef02ca1ca9fdbeedc825fed54ea9efc0802e8090aaab37d0e58ee0f"};
  std::string labels;
  for (std::size_t passes = 1; passes <= expected.size(); ++passes) {
    one.block.smoothing = static_cast<int>(passes);
    labels.clear();
    for (const Index3& block : {Index3{17, 31, 23}, Index3{5, 4, 9}, Index3{17, 1, 23}, Index3{3, 31, 2}}) {
      const auto found = testing::segment_by_blocks(one, block, Communicator::alone(), 0);
      EXPECT_EQ(testing::sha256_of(found.fragments), expected[passes - 1]) << to_string(block);
      if (labels.empty()) labels = testing::sha256_of(found.labels);
      EXPECT_EQ(testing::sha256_of(found.labels), labels) << to_string(block);
    }
  }
}

TEST(SegmentGolden, SmoothingIsMirroredAndRoundedDown) {
  std::vector<std::int32_t> weights{0, 16, 0, 65535};
  smooth_weights(weights, {1, 1, 4}, 1);  // along y a line of one voxel keeps its value
  EXPECT_EQ(weights, (std::vector<std::int32_t>{8, 8, (16 + 65535) / 4, 65535 / 2}));
  std::vector<std::int32_t> full(60, kWeightOne);
  smooth_weights(full, {3, 4, 5}, BlockGraphOptions::kMostSmoothing);
  EXPECT_EQ(full, std::vector<std::int32_t>(60, kWeightOne));
}

/// The graph stage on the reference's fragments, by these thresholds.
GraphResult merged_fragments(const testing::GoldenGraph& golden, MergeLinkage linkage,
                             const std::vector<double>& thresholds) {
  const RegionGraph& graph = golden.graph;
  GraphRows rows;
  for (std::size_t i = 0; i < graph.rows(); ++i)
    rows.clusters.push_back({graph.name[i], graph.size[i]});
  for (std::size_t i = 0; i < graph.bundles(); ++i)
    rows.bundles.push_back(
        {graph.name[graph.a[i]], graph.name[graph.b[i]], graph.sum[i], graph.count[i], i, graph.saddle[i]});
  MergeOptions merge;
  merge.linkage = linkage;
  for (const double threshold : thresholds)
    merge.stages.push_back(threshold_stage(threshold));
  return merge_graph(std::move(rows), {}, merge, {.fragments = false}, Communicator::alone());
}

/// "agglomerated" of the reference's expected.json: the digest of the merges (gone, into, sum, count).
TEST(SegmentGolden, GreedyMergesAreThoseOfTheReference) {
  const std::map<std::string, std::string> known{
      {"volume", "796e4ba46874ac603f94022bbc1ed00e7a6a3238718da540a8aa4879729a2238"},
      {"plain", "a7222722923661134f2d435a9e65e3f6aa7f56afab9d43f951a940f18d89f1d8"}};
  const std::map<std::string, std::vector<std::size_t>> objects{{"volume", {695, 444, 189}},
                                                                {"plain", {174, 116, 67}}};
  for (const auto& [name, digest] : known) {
    const testing::GoldenGraph golden(name);
    GraphResult result = merged_fragments(golden, MergeLinkage::mean, {0.9, 0.75, 0.6});
    std::ranges::sort(result.merges, {}, &MergeRow::name);
    std::vector<std::uint64_t> table;
    std::vector<std::size_t> left(3, golden.graph.rows());
    for (const MergeRow& row : result.merges) {
      table.insert(table.end(), {row.name, row.into, row.sum, row.count});
      for (std::size_t stage = static_cast<std::size_t>(row.stage); stage <= 3; ++stage)
        --left[stage - 1];
    }
    EXPECT_EQ(testing::sha256_of(table), digest) << name;
    EXPECT_EQ(left, objects.at(name)) << name;
    EXPECT_EQ(result.objects.size(), objects.at(name).back());
  }
}

/// Single linkage: the components of the bundles whose largest weight reaches the threshold.
TEST(SegmentGolden, TheMaximumGivesComponentsOfAThreshold) {
  const testing::GoldenGraph golden("volume");
  const RegionGraph& graph = golden.graph;
  std::size_t merged = 0;
  for (const double threshold : {0.97, 0.9, 0.8}) {
    std::vector<std::uint64_t> name = graph.name;
    for (bool changes = true; changes;) {
      changes = false;
      for (std::size_t i = 0; i < graph.bundles(); ++i) {
        if (graph.saddle[i] < threshold * kWeightOne || name[graph.a[i]] == name[graph.b[i]]) continue;
        name[graph.a[i]] = name[graph.b[i]] = std::min(name[graph.a[i]], name[graph.b[i]]);
        changes = true;
      }
    }
    const GraphResult result = merged_fragments(golden, MergeLinkage::maximum, {1, threshold});
    const auto voxels = static_cast<std::uint64_t>(graph.name.back() + 1);
    const ObjectIds ids(result, {}, voxels, Communicator::alone());
    EXPECT_EQ(ids.objects_of(graph.name), name) << threshold;
    merged += result.merges.size();
  }
  EXPECT_GT(merged, 100u);
}

TEST(SegmentGolden, BlocksDoNotShowInGreedyMerges) {
  for (const MergeLinkage linkage : {MergeLinkage::mean, MergeLinkage::maximum}) {
    for (const char* name : {"odd", "sections_one_sided"}) {
      const testing::GoldenCase one = testing::greedy_case(kGolden, name, linkage);
      const Index3 shape = one.values.shape;
      const auto whole = testing::segment_by_blocks(one, shape, Communicator::alone(), 0);
      EXPECT_GT(whole.linkages.size(), 20u) << name;
      for (const Index3& block : {Index3{shape.z, 7, shape.x}, Index3{3, 13, 16}})
        EXPECT_TRUE(testing::segment_by_blocks(one, block, Communicator::alone(), 0) == whole) << name;
    }
  }
}

/// Greedy merges, with and without certain merges within the blocks. Returns the number of comparisons.
std::size_t expect_golden_in_blocks(testing::GoldenCase& one, const std::vector<Index3>& blocks) {
  for (const Index3& block : blocks) {
    for (const bool certain : {true, false}) {
      one.block.certain_merges = certain;
      const auto found = testing::segment_by_blocks(one, block, Communicator::alone(), 0);
      testing::expect_golden_greedy(one, found, one.name + " in blocks of " + to_string(block));
    }
  }
  return 2 * blocks.size();
}

TEST(SegmentGolden, QuantilesEqualTheOracleInAnyBlocks) {
  std::size_t compared = 0;
  for (testing::GoldenCase& one : testing::quantile_cases(kGolden)) {
    const Index3 shape = one.values.shape;
    std::vector<Index3> blocks{shape, {3, shape.y, 16}, {5, 13, 11}};
    if (shape.y > 32) blocks = {shape, {17, 32, 29}};
    compared += expect_golden_in_blocks(one, blocks);
  }
  EXPECT_EQ(compared, 5u * (2 * 6 + 3 * 4));
}

/// TESSERA_GRAPHS=20000 is the long form.
TEST(SegmentGolden, QuantilesOfRandomGraphsAreThoseOfTheDefinition) {
  const char* graphs = std::getenv("TESSERA_GRAPHS");
  std::int64_t merges = 0;
  EXPECT_EQ(testing::graphs_merged_otherwise(graphs != nullptr ? std::atoi(graphs) : 300, 7,
                                             Communicator::alone(), merges),
            0);
  EXPECT_GT(merges, 1000);
}

TEST(SegmentGolden, AffinitiesEqualTheOracleInAnyBlocks) {
  std::size_t compared = 0;
  for (testing::GoldenCase& one : testing::affinity_cases(kGolden)) {
    const Index3 shape = one.values.shape;
    EXPECT_EQ(testing::sha256_of(one.values.bytes), one.expected.at("affinities_sha256").get<std::string>());
    std::vector<Index3> blocks{shape, {shape.z, 7, shape.x}, {3, shape.y, 16}, {5, 13, 11}};
    if (shape.y > 32) blocks = {shape, {17, 32, 29}};
    compared += expect_golden_in_blocks(one, blocks);
  }
  EXPECT_EQ(compared, 4u * 2 * 4 + 3u * 2 * 2);
}

/// The same affinities, stored as float32 at the lower voxel of each edge, in other channels and beside
/// others.
TEST(SegmentGolden, HowAffinitiesAreStoredDoesNotShow) {
  for (testing::GoldenCase& one : testing::affinity_cases(kGolden)) {
    if (one.name != "odd" && one.name != "quantile") continue;
    const Index3 shape = one.values.shape;
    const std::int64_t voxels = volume_of(shape);
    VoxelBuffer stored(VoxelType::float32, shape, 5);
    const auto to = stored.as<float>();
    std::ranges::fill(to, std::numeric_limits<float>::quiet_NaN());  // in channels that are not used
    one.block.affinities = AffinityChannels{{3, 0, 4}, {1, 1, 1}};
    const auto from = std::as_const(one.values).as<std::uint8_t>();
    for (int axis = 0; axis < 3; ++axis) {
      const std::int64_t channel = one.block.affinities->channel[static_cast<std::size_t>(axis)];
      for (std::int64_t i = 0; i < voxels; ++i) {
        Index3 behind{i / (shape.y * shape.x), i / shape.x % shape.y, i % shape.x};
        ++behind[axis];
        const bool inside = behind[axis] < shape[axis];
        to[static_cast<std::size_t>(channel * voxels + i)] =
            inside ? static_cast<float>(
                         from[static_cast<std::size_t>(axis * voxels + linear_index(behind, shape))]) /
                         255.0f
                   : 1.0f;
      }
    }
    one.values = stored;
    for (const Index3& block : {shape, Index3{4, 9, 7}}) {
      const auto found = testing::segment_by_blocks(one, block, Communicator::alone(), 0);
      testing::expect_golden_greedy(one, found, one.name);
    }
  }
}

TEST(SegmentGolden, WrongAffinitiesNameTheirChannelAndVoxel) {
  BlockGraphOptions options;
  options.affinities = AffinityChannels{{2, 1, 0}, {-1, -1, -1}};
  VoxelBuffer values(VoxelType::float32, {3, 4, 5}, 3);
  values.as<float>()[60 + 37] = 1.5f;
  const auto message = [&] {
    try {
      block_weights(values, nullptr, Box::of_shape(values.shape), values.shape, {10, 20, 30}, options);
    } catch (const WholeJobError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message(),
              ::testing::HasSubstr("channel 1 of voxel (11, 23, 32) is 1.5, which is no affinity"));
  values.as<float>()[60 + 37] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message(),
              ::testing::HasSubstr("channel 1 of voxel (11, 23, 32) is nan, which is no affinity"));
  values.as<float>()[60 + 37] = 1;
  EXPECT_EQ(message(), "");
}

TEST(SegmentGolden, QuantilesWithoutHistogramsAreAnError) {
  const testing::GoldenGraph golden("plain");
  EXPECT_THROW(merged_fragments(golden, MergeLinkage::quantile75, {0.9}), Error);
}

}  // namespace
}  // namespace tessera
