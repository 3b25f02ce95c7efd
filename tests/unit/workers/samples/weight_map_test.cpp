#include "workers/samples/weight_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/failing_threads.h"
#include "workers/numbers/random_stream.h"
#include "workers/samples/distance_transform.h"
#include "workers/samples/training_labels.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;

constexpr float kNoBorder = std::numeric_limits<float>::infinity();

/// Looks at every pixel of every instance.
InstanceDistances brute_force(const std::vector<std::int32_t>& instances, std::int64_t height,
                              std::int64_t width) {
  InstanceDistances result;
  for (std::int64_t p = 0; p < height * width; ++p) {
    std::map<std::int32_t, std::int64_t> squared;
    for (std::int64_t q = 0; q < height * width; ++q) {
      const std::int32_t id = instances[static_cast<std::size_t>(q)];
      if (id == 0) continue;
      const std::int64_t dy = p / width - q / width, dx = p % width - q % width, d = dy * dy + dx * dx;
      const auto [place, is_new] = squared.emplace(id, d);
      if (!is_new) place->second = std::min(place->second, d);
    }
    std::vector<std::int64_t> sorted;
    for (const auto& [id, d] : squared)
      sorted.push_back(d);
    std::sort(sorted.begin(), sorted.end());
    const auto root = [&](std::size_t i) {
      return i < sorted.size() ? static_cast<float>(std::sqrt(static_cast<double>(sorted[i]))) : kNoBorder;
    };
    result.nearest.push_back(root(0));
    result.second.push_back(root(1));
  }
  return result;
}

TEST(InstanceDistances, EqualBruteForceForRandomSections) {
  int compared = 0;
  for (std::uint64_t trial = 0; trial < 300; ++trial) {
    RandomStream random(11, 0, trial);
    const std::int64_t height = random.integer(1, 24), width = random.integer(1, 24),
                       ids = random.integer(0, 6);
    // From a few lone pixels to no background at all.
    const double density = std::pow(random.uniform(), 3);
    std::vector<std::int32_t> instances;
    for (std::int64_t i = 0; i < height * width; ++i) {
      const bool inside = ids > 0 && random.uniform() < density;
      instances.push_back(inside ? static_cast<std::int32_t>(random.integer(1, ids)) : 0);
    }
    const InstanceDistances expected = brute_force(instances, height, width);
    const InstanceDistances found = instance_distances(instances, height, width);
    ASSERT_EQ(found.nearest, expected.nearest) << "trial " << trial;
    ASSERT_EQ(found.second, expected.second) << "trial " << trial;
    ++compared;
  }
  EXPECT_EQ(compared, 300);
}

TEST(InstanceDistances, EqualBruteForceForDiscs) {
  constexpr std::int64_t kHeight = 40, kWidth = 55;
  for (std::uint64_t trial = 0; trial < 5; ++trial) {
    RandomStream random(12, 0, trial);
    std::vector<std::int32_t> instances(kHeight * kWidth, 0);
    for (std::int32_t id = 1; id < 9; ++id) {
      const double cy = random.uniform(0, kHeight), cx = random.uniform(0, kWidth),
                   radius = random.uniform(1, 8);
      for (std::int64_t p = 0; p < kHeight * kWidth; ++p) {
        const auto y = static_cast<double>(p / kWidth), x = static_cast<double>(p % kWidth);
        if (std::hypot(y - cy, x - cx) < radius) instances[static_cast<std::size_t>(p)] = id;
      }
    }
    const InstanceDistances expected = brute_force(instances, kHeight, kWidth);
    const InstanceDistances found = instance_distances(instances, kHeight, kWidth);
    EXPECT_EQ(found.nearest, expected.nearest);
    EXPECT_EQ(found.second, expected.second);
  }
}

TEST(SeparateInstances, BothSidesOfAContactBecomeBackground) {
  std::vector<std::int32_t> instances{1, 1, 2, 2,  //
                                      1, 1, 2, 2,  //
                                      0, 1, 0, 2,  //
                                      3, 0, 0, 2};
  separate_instances(instances, 4, 4);
  EXPECT_THAT(instances, ElementsAre(1, 0, 0, 2,  //
                                     1, 0, 0, 2,  //
                                     0, 0, 0, 2,  //
                                     0, 0, 0, 2));
}

TEST(BorderWeights, AreThoseOfTheFormula) {
  // Two cells, 6 px of background between them: the middle has d1 = 3, d2 = 4.
  const std::vector<std::int32_t> instances{5, 0, 0, 0, 0, 0, 0, 9};
  const std::vector<float> weights = border_weights(instances, 1, 8, {10, 5});
  EXPECT_EQ(weights.front(), 0);
  EXPECT_EQ(weights.back(), 0);
  for (std::size_t i = 1; i < 7; ++i)
    EXPECT_NEAR(weights[i], 10 * std::exp(-49.0 / 50), 1e-6);
  EXPECT_NEAR(border_weights(instances, 1, 8, {3, 2})[3], 3 * std::exp(-49.0 / 8), 1e-7);
}

TEST(BorderWeights, OneCellHasNothingToSeparate) {
  const std::vector<std::int32_t> one{0, 1, 0, 0}, none{0, 0, 0, 0};
  EXPECT_THAT(border_weights(one, 2, 2, {10, 5}), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(border_weights(none, 2, 2, {10, 5}), ElementsAre(0, 0, 0, 0));
  const std::vector<std::int32_t> two{1, 0, 0, 2};
  EXPECT_THAT(border_weights(two, 2, 2, {0, 5}), ElementsAre(0, 0, 0, 0)) << "w0 = 0";
}

TEST(Instances, AreDenseOrComponentsOfClasses) {
  const std::vector<std::uint64_t> ids{0, 1ULL << 60, 7, 7, 0, 1ULL << 60};
  EXPECT_THAT(dense_instances<std::uint64_t>(ids), ElementsAre(0, 1, 2, 2, 0, 1));
  const std::vector<std::uint8_t> classes{1, 0, 2, 255, 2, 1};
  EXPECT_THAT(instances_of_classes(classes, 255, 1, 6), ElementsAre(1, 0, 2, 0, 3, 3));
}

// tests/golden/make_weight_map.py: the same by SciPy, one distance transform per cell.
TEST(WeightMap, EqualsScipys) {
  const std::filesystem::path file = std::filesystem::path(TESSERA_GOLDEN) / "weight_map.h5";
  const auto read = [&](const char* path) {
    const auto volume = open_volume({file, path});
    return volume->read({{0, 0, 0}, volume->info().shape});
  };
  const VoxelBuffer labels = read("/instances"), separated = read("/separated"), border = read("/border");
  ASSERT_GT(labels.bytes.size(), 1000U);
  const LabelOptions options{2, LabelKind::instances, std::nullopt};
  const std::vector<std::uint8_t> classes =
      label_classes(labels, {{0, 0, 0}, labels.shape}, options, {file, "/instances"});
  EXPECT_TRUE(std::ranges::equal(classes, separated.as<std::uint8_t>()));
  const std::vector<float> found = label_border_weights(labels, classes, options, {10, 5}, 2);
  float largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], border.as<float>()[i], 1e-4) << i;
    largest = std::max(largest, found[i]);
  }
  EXPECT_GT(largest, 5);
}

TEST(Labels, IgnoredVoxelsAreNoCells) {
  VoxelBuffer labels(VoxelType::uint8, {1, 1, 7});
  const std::array<std::uint8_t, 7> values{4, 4, 99, 0, 6, 6, 6};
  std::ranges::copy(values, labels.as<std::uint8_t>().begin());
  const Box box{{0, 0, 0}, labels.shape};
  const LabelOptions instances{2, LabelKind::instances, 99};
  const std::vector<std::uint8_t> classes = label_classes(labels, box, instances, {"l.h5", "/l"});
  EXPECT_THAT(classes, ElementsAre(1, 1, 255, 0, 1, 1, 1));
  const std::vector<float> border = label_border_weights(labels, classes, instances, {10, 5}, 1);
  EXPECT_NEAR(border[3], 10 * std::exp(-9.0 / 50), 1e-6) << "distances 2 and 1";
  EXPECT_THAT(label_classes(labels, box, {2, LabelKind::classes, 99}, {"l.h5", "/l"}),
              ElementsAre(1, 1, 255, 0, 1, 1, 1));
  EXPECT_THROW(label_classes(labels, box, {3, LabelKind::instances, 99}, {"l.h5", "/l"}), UsageError);
}

TEST(Labels, AThreadThatCannotStartIsAnError) {
  VoxelBuffer labels(VoxelType::uint8, {6, 8, 8});
  const LabelOptions options{2, LabelKind::classes, std::nullopt};
  const std::vector<std::uint8_t> classes =
      label_classes(labels, {{0, 0, 0}, labels.shape}, options, {"l.h5", "/l"});
  for (const int nth : {1, 2}) {
    const testing::FailingThread failing(nth);
    EXPECT_THAT(testing::message_of([&] {
                  label_border_weights(labels, classes, options, {10, 5}, 3);
                }),
                ::testing::HasSubstr("cannot start a thread to compute the weight map: "));
    EXPECT_TRUE(failing.has_failed());
  }
}

}  // namespace
}  // namespace tessera
