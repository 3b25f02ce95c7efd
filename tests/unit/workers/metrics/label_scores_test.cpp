#include "workers/metrics/label_scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace tessera {
namespace {

using Labels = std::vector<std::uint64_t>;

LabelSums sums_of(const Labels& truth, const Labels& predicted) {
  LabelTable table;
  table.add_voxels(std::span<const std::uint64_t>(truth), std::span<const std::uint64_t>(predicted));
  return label_sums(std::move(table), Communicator::alone());
}
LabelScores score(const Labels& truth, const Labels& predicted) {
  return scores_of(sums_of(truth, predicted));
}

TEST(WorstObjects, AreThoseWithMostVoxelsOutsideTheirLargestPart) {
  //               3: whole    5: split into 1 and 2, and lost     9: whole, in 2 too
  const Labels truth{3, 3, 3, 5, 5, 5, 5, 5, 9, 9, 0, 0}, predicted{7, 7, 7, 1, 1, 2, 2, 0, 2, 2, 2, 4};
  LabelTable table;
  table.add_voxels(std::span<const std::uint64_t>(truth), std::span<const std::uint64_t>(predicted));
  WorstObjects worst;
  label_sums(std::move(table), Communicator::alone(), &worst);
  EXPECT_EQ(worst.split, (std::vector<ObjectParts>{{5, 5, 2, 1, 2}}));
  EXPECT_EQ(worst.merged, (std::vector<ObjectParts>{{2, 4, 2, 5, 2}}));
}

TEST(WorstObjects, AreFewAndInOrder) {
  LabelTable table;
  for (std::uint64_t id = 1; id <= 100; ++id) {
    table.add(id, 2 * id, 50);
    table.add(id, 2 * id + 1, static_cast<std::int64_t>(id % 40));
  }
  WorstObjects worst;
  label_sums(std::move(table), Communicator::alone(), &worst);
  ASSERT_EQ(worst.split.size(), kMostWorstObjects);
  EXPECT_TRUE(worst.merged.empty());
  EXPECT_EQ(worst.split.front().label, 39U);
  EXPECT_EQ(worst.split[1].label, 79U);
  EXPECT_EQ(worst.split[0].shared, 50);
}

TEST(LabelTable, CountsLikeAMap) {
  std::mt19937_64 random(2);
  LabelTable table;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::int64_t> expected;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t truth = random() % 300 * 0x1234567890ABCDEFULL, predicted = random() % 300 << 55;
    table.add(truth, predicted, 1 + i % 3);
    expected[{truth, predicted}] += 1 + i % 3;
  }
  EXPECT_GT(expected.size(), 50'000U);
  ASSERT_EQ(table.size(), expected.size());
  EXPECT_LT(table.bytes(), 24 * 3.1 * static_cast<double>(expected.size()));
  for (const LabelOverlap& one : table.overlaps())
    EXPECT_EQ(one.voxels, expected.at({one.truth, one.predicted}));
  EXPECT_EQ(std::move(table).take_overlaps().size(), expected.size());
}

TEST(LabelTable, LargestIdsAndNoVoxels) {
  LabelTable table;
  table.add(~0ULL, ~0ULL, 2);
  table.add(~0ULL, ~0ULL, 3);
  table.add(0, 0, 1);
  table.add(5, 5, 0);
  ASSERT_EQ(table.size(), 2U);
  std::int64_t voxels = 0;
  for (const LabelOverlap& one : table.overlaps())
    voxels += one.truth == ~0ULL ? one.voxels : 0;
  EXPECT_EQ(voxels, 5);
}

TEST(LabelTable, IgnoredVoxelsAreNotCounted) {
  LabelTable table;
  const Labels truth{~0ULL, ~0ULL, 3, ~0ULL}, predicted{1, 2, 2, 2};
  table.add_voxels(std::span<const std::uint64_t>(truth), std::span<const std::uint64_t>(predicted), ~0ULL);
  EXPECT_EQ(table.overlaps(), (std::vector<LabelOverlap>{{3, 2, 1}}));
}

TEST(LabelScores, EqualVolumesArePerfect) {
  const Labels labels{0, 0, 7, 7, 9, 1ULL << 63, 9};
  const LabelScores scores = score(labels, labels);
  EXPECT_EQ(scores.voi, 0);
  EXPECT_EQ(scores.adapted_rand_error, 0);
  EXPECT_EQ(scores.objects.seg, 1);
  EXPECT_EQ(scores.objects.f1.back(), 1);
}

TEST(LabelScores, ASplitAndAMergeByHand) {
  // An object of four voxels is split into halves: one bit of split.
  const LabelScores split = score({1, 1, 1, 1}, {5, 5, 6, 6});
  EXPECT_DOUBLE_EQ(split.voi_split, 1);
  EXPECT_EQ(split.voi_merge, 0);
  EXPECT_EQ(split.rand_precision, 1);
  EXPECT_DOUBLE_EQ(split.rand_recall, 2.0 / 6);
  EXPECT_DOUBLE_EQ(split.adapted_rand_error, 1 - 2 * 2.0 / (6 + 2));
  // A match needs more than half of the object, so neither half matches.
  EXPECT_EQ(split.objects.seg, 0);
  EXPECT_EQ(split.objects.recall[0], 0);
  const LabelScores merge = score({5, 5, 6, 6}, {1, 1, 1, 1});
  EXPECT_EQ(merge.voi_split, 0);
  EXPECT_DOUBLE_EQ(merge.voi_merge, 1);
  // Both true objects are covered completely. Each has a Jaccard index of 1/2, which is not above 0.5.
  EXPECT_DOUBLE_EQ(merge.objects.seg, 0.5);
  EXPECT_EQ(merge.objects.f1[0], 0);
}

TEST(LabelScores, OverlapsAreComparedWithoutRounding) {
  // 11 of 20 voxels overlap: exactly 0.55, which is above 0.5 and not above 0.55.
  EXPECT_EQ(levels_reached(11, 20, 11), 1);
  EXPECT_EQ(levels_reached(1, 2, 1), 0);
  EXPECT_EQ(levels_reached(95, 100, 95), 9);
  EXPECT_EQ(levels_reached(96, 100, 96), 10);
  EXPECT_EQ(levels_reached(std::int64_t{1} << 50, std::int64_t{1} << 50, std::int64_t{1} << 50), 10);
}

TEST(LabelScores, DegenerateVolumes) {
  const auto is_perfect = [](const LabelScores& s) {
    return s.voi == 0 && s.adapted_rand_error == 0 && s.rand_precision == 1 && s.rand_recall == 1;
  };
  const auto is_undefined = [](const LabelScores& s) {
    return std::isnan(s.voi) && std::isnan(s.adapted_rand_error) && std::isnan(s.rand_precision) &&
           std::isnan(s.rand_recall);
  };
  EXPECT_TRUE(is_undefined(score({}, {}))) << "no voxel";
  EXPECT_EQ(score({3}, {0}).voi, 0);
  EXPECT_TRUE(std::isnan(score({3}, {0}).adapted_rand_error)) << "one voxel has no pair";
  EXPECT_TRUE(is_undefined(score({0, 0, 0}, {1, 2, 3}))) << "no true object: nothing to compare";
  EXPECT_TRUE(is_perfect(score({4, 4, 4}, {8, 8, 8}))) << "all one label";
  EXPECT_TRUE(is_perfect(score({4, 4, 4}, {0, 0, 0}))) << "0 is an ordinary label in the prediction";
  EXPECT_TRUE(std::isnan(score({0, 0}, {1, 2}).objects.seg)) << "no object";
  EXPECT_EQ(score({0, 0}, {1, 2}).objects.precision[0], 0) << "two objects too many";
  EXPECT_EQ(score({4, 4}, {0, 0}).objects.seg, 0);
  EXPECT_TRUE(std::isnan(score({4, 4}, {0, 0}).objects.precision[0]));
  EXPECT_EQ(score({4, 4}, {0, 0}).objects.recall[0], 0);
  // Each voxel is its own object, so each true pair is missed.
  EXPECT_DOUBLE_EQ(score({4, 4, 4, 4}, {1, 2, 3, 9}).voi_split, 2);
  EXPECT_EQ(score({4, 4, 4, 4}, {1, 2, 3, 9}).adapted_rand_error, 1);
}

/// Computes all scores from their definitions, with explicit sets.
TEST(LabelScores, AgreeWithTheDefinitionsOnRandomLabels) {
  std::mt19937 random(8);
  int with_matches = 0;
  for (int round = 0; round < 100; ++round) {
    const std::size_t n = 20 + random() % 200;
    Labels truth(n), predicted(n);
    for (std::size_t i = 0; i < n; ++i) {
      truth[i] = i / 12 % 6;
      predicted[i] = random() % 4 == 0 ? random() % 5 : truth[i] + (i > 90 ? 3 : 0);
    }
    std::map<std::uint64_t, double> a, b, b_all, a_all;
    std::map<std::pair<std::uint64_t, std::uint64_t>, double> c;
    double voxels = 0;
    for (std::size_t i = 0; i < n; ++i) {
      a_all[truth[i]] += 1;
      b_all[predicted[i]] += 1;
      if (truth[i] == 0) continue;
      a[truth[i]] += 1;
      b[predicted[i]] += 1;
      c[{truth[i], predicted[i]}] += 1;
      voxels += 1;
    }
    double split = 0, merge = 0, pairs_a = 0, pairs_b = 0, pairs_c = 0, seg = 0;
    std::array<double, kOverlapLevels> found{};
    for (const auto& [pair, shared] : c) {
      split -= shared / voxels * std::log2(shared / a[pair.first]);
      merge -= shared / voxels * std::log2(shared / b[pair.second]);
      pairs_c += shared * (shared - 1);
      if (pair.second == 0) continue;
      const double overlap = shared / (a[pair.first] + b_all[pair.second] - shared);
      if (shared > 0.5 * a[pair.first]) seg += overlap;
      for (int i = 0; i < kOverlapLevels; ++i)
        found[static_cast<std::size_t>(i)] += overlap > overlap_level(i) + 1e-12 ? 1 : 0;
    }
    for (const auto& [label, size] : a)
      pairs_a += size * (size - 1);
    for (const auto& [label, size] : b)
      pairs_b += size * (size - 1);
    const LabelScores scores = score(truth, predicted);
    EXPECT_NEAR(scores.voi_split, split, 1e-12);
    EXPECT_NEAR(scores.voi_merge, merge, 1e-12);
    EXPECT_NEAR(scores.adapted_rand_error, 1 - 2 * pairs_c / (pairs_a + pairs_b), 1e-12);
    EXPECT_NEAR(scores.rand_precision, pairs_c / pairs_b, 1e-12);
    EXPECT_NEAR(scores.rand_recall, pairs_c / pairs_a, 1e-12);
    EXPECT_NEAR(scores.objects.seg, seg / static_cast<double>(a.size()), 1e-10);
    const LabelSums sums = sums_of(truth, predicted);
    EXPECT_EQ(sums.objects.truth, static_cast<double>(a.size()));
    EXPECT_EQ(sums.objects.predicted, static_cast<double>(b_all.size() - b_all.count(0)));
    for (std::size_t i = 0; i < kOverlapLevels; ++i)
      EXPECT_EQ(sums.objects.matched[i], found[i]) << i;
    with_matches += found[0] > 0 ? 1 : 0;
  }
  EXPECT_GT(with_matches, 50);
}

}  // namespace
}  // namespace tessera
