#include "workers/samples/pixel_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>

namespace tessera {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(ClassWeights, ClassesHaveEqualTotalWeightAndTheMeanIsOne) {
  const std::array<std::int64_t, 3> counts{700, 200, 100};
  const std::vector<float> weights = class_weights(counts, true);
  double sum = 0;
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(weights[c] * static_cast<double>(counts[c]), 1000.0 / 3, 1e-3);
    sum += weights[c] * static_cast<double>(counts[c]);
  }
  EXPECT_NEAR(sum / 1000, 1, 1e-6);
}

TEST(ClassWeights, AbsentClassHasNoWeightAndTheMeanIsOne) {
  const std::array<std::int64_t, 3> counts{75, 0, 25};
  const std::vector<float> weights = class_weights(counts, true);
  EXPECT_EQ(weights[1], 0);
  EXPECT_NEAR((75 * weights[0] + 25 * weights[2]) / 100, 1, 1e-6);
  EXPECT_THAT(class_weights(std::array<std::int64_t, 2>{0, 0}, true), Each(0.0F));
}

TEST(ClassWeights, WithoutBalanceAllAreOne) {
  EXPECT_THAT(class_weights(std::array<std::int64_t, 3>{75, 0, 25}, false), ElementsAre(1, 1, 1));
}

TEST(PixelWeights, AreThoseOfTheClasses) {
  const std::array<std::uint8_t, 5> classes{0, 1, 2, 1, 0};
  EXPECT_THAT(pixel_weights(classes, std::array<float, 3>{0.5F, 2, 7}), ElementsAre(0.5F, 2, 7, 2, 0.5F));
}

}  // namespace
}  // namespace tessera
