#include "workers/samples/augmentation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace tessera {
namespace {

using ::testing::ElementsAre;

constexpr AugmentationOptions kNothing{false, false, 0, 0, 0};

std::vector<int> moved(int quarter_turns, bool mirrored) {
  std::vector<int> image{0, 1, 2, 3, 4, 5, 6, 7, 8}, scratch;
  apply_symmetry<int>({quarter_turns, mirrored}, 3, image.data(), scratch);
  return image;
}

/// The value of an input pixel says which class its place has; the input is 2 pixels larger on each side.
Sample sample_of(std::int64_t output_side) {
  Sample sample;
  sample.channels = 2;
  sample.output_side = output_side;
  sample.input_side = output_side + 4;
  sample.input.resize(static_cast<std::size_t>(2 * sample.input_side * sample.input_side));
  std::iota(sample.input.begin(), sample.input.end(), 0.0F);
  for (std::int64_t y = 0; y < output_side; ++y) {
    for (std::int64_t x = 0; x < output_side; ++x) {
      const auto at = static_cast<std::size_t>((y + 2) * sample.input_side + x + 2);
      sample.classes.push_back(static_cast<std::uint8_t>(static_cast<int>(sample.input[at]) % 5));
    }
  }
  return sample;
}

// numpy: a = arange(9).reshape(3, 3); rot90(a, k); rot90(fliplr(a), k)
TEST(Symmetry, EqualsNumpysRot90AndFliplr) {
  EXPECT_THAT(moved(0, false), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(moved(1, false), ElementsAre(2, 5, 8, 1, 4, 7, 0, 3, 6));
  EXPECT_THAT(moved(2, false), ElementsAre(8, 7, 6, 5, 4, 3, 2, 1, 0));
  EXPECT_THAT(moved(3, false), ElementsAre(6, 3, 0, 7, 4, 1, 8, 5, 2));
  EXPECT_THAT(moved(0, true), ElementsAre(2, 1, 0, 5, 4, 3, 8, 7, 6));
  EXPECT_THAT(moved(1, true), ElementsAre(0, 3, 6, 1, 4, 7, 2, 5, 8));
  EXPECT_THAT(moved(2, true), ElementsAre(6, 7, 8, 3, 4, 5, 0, 1, 2));
  EXPECT_THAT(moved(3, true), ElementsAre(8, 5, 2, 7, 4, 1, 6, 3, 0));
}

TEST(Augmentation, WithoutOptionsNothingChanges) {
  for (std::uint64_t i = 0; i < 20; ++i) {
    Sample sample = sample_of(4);
    RandomStream random(1, 0, i);
    augment(sample, kNothing, random);
    EXPECT_EQ(sample.input, sample_of(4).input);
    EXPECT_EQ(sample.classes, sample_of(4).classes);
  }
}

TEST(Augmentation, AllSymmetriesOccurAndMoveInputAndClassesTogether) {
  AugmentationOptions options = kNothing;
  const auto kinds = [&options] {
    std::set<std::vector<float>> seen;
    for (std::uint64_t i = 0; i < 200; ++i) {
      Sample sample = sample_of(4);
      RandomStream random(1, 0, i);
      augment(sample, options, random);
      const std::int64_t plane = sample.input_side * sample.input_side;
      for (std::int64_t p = 0; p < plane; ++p) {
        const auto at = static_cast<std::size_t>(p), beneath = static_cast<std::size_t>(p + plane);
        EXPECT_EQ(sample.input[beneath], sample.input[at] + static_cast<float>(plane))
            << "channels moved apart";
      }
      for (std::int64_t y = 0; y < 4; ++y) {
        for (std::int64_t x = 0; x < 4; ++x) {
          const float value = sample.input[static_cast<std::size_t>((y + 2) * sample.input_side + x + 2)];
          EXPECT_EQ(sample.classes[static_cast<std::size_t>(y * 4 + x)], static_cast<int>(value) % 5);
        }
      }
      seen.insert(sample.input);
    }
    return seen.size();
  };
  EXPECT_EQ(kinds(), 1U);
  options.mirror = true;
  EXPECT_EQ(kinds(), 2U);
  options.rotate = true;
  EXPECT_EQ(kinds(), 8U);
  options.mirror = false;
  EXPECT_EQ(kinds(), 4U);
}

TEST(Augmentation, GreyValuesChangeWithinTheirBounds) {
  AugmentationOptions options = kNothing;
  options.contrast = 0.25;
  options.brightness = 0.5;
  double lowest = 2, highest = 0, lowest_offset = 1, highest_offset = -1;
  for (std::uint64_t i = 0; i < 500; ++i) {
    Sample sample = sample_of(4);
    RandomStream random(3, 0, i);
    augment(sample, options, random);
    const double offset = sample.input[0], factor = sample.input[1] - sample.input[0];
    EXPECT_NEAR(sample.input[100], 100 * factor + offset, 1e-3) << "one line for all pixels";
    EXPECT_EQ(sample.classes, sample_of(4).classes);
    lowest = std::min(lowest, factor), highest = std::max(highest, factor);
    lowest_offset = std::min(lowest_offset, offset), highest_offset = std::max(highest_offset, offset);
  }
  EXPECT_TRUE(lowest > 0.7499 && lowest < 0.77 && highest < 1.2501 && highest > 1.23);
  EXPECT_TRUE(lowest_offset >= -0.5 && lowest_offset < -0.47 && highest_offset <= 0.5 &&
              highest_offset > 0.47);
}

TEST(Augmentation, NoiseHasItsDeviation) {
  AugmentationOptions options = kNothing;
  options.noise = 0.1;
  Sample sample = sample_of(96);
  RandomStream random(1, 0, 0);
  augment(sample, options, random);
  const Sample before = sample_of(96);
  double sum = 0, squares = 0;
  // The first values only: the others are too large for float32 to keep the noise's digits.
  const int count = 10000;
  for (std::size_t i = 0; i < count; ++i) {
    const double change = sample.input[i] - before.input[i];
    sum += change, squares += change * change;
  }
  EXPECT_NEAR(sum / count, 0, 0.005);
  EXPECT_NEAR(std::sqrt(squares / count), 0.1, 0.003);
}

TEST(Augmentation, GammaKeepsTheRange) {
  AugmentationOptions options = kNothing;
  options.gamma = 0.5;
  double lowest = 10, highest = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    Sample sample = sample_of(4);
    RandomStream random(3, 0, i);
    augment(sample, options, random);
    const double last = static_cast<double>(sample.input.size()) - 1;
    EXPECT_NEAR(sample.input.front(), 0, 1e-4);
    EXPECT_NEAR(sample.input.back(), last, 1e-3);
    const double exponent = std::log(sample.input[50] / last) / std::log(50 / last);
    EXPECT_NEAR(std::log(sample.input[20] / last) / std::log(20 / last), exponent, 1e-3)
        << "one exponent for all";
    lowest = std::min(lowest, exponent), highest = std::max(highest, exponent);
  }
  EXPECT_TRUE(lowest > 0.606 && lowest < 0.63 && highest < 1.649 && highest > 1.6);
}

// scipy.ndimage.gaussian_filter of a single 1, mode="mirror": a Gaussian of the drawn deviation.
TEST(Augmentation, BlurSpreadsAPointAndKeepsTheSum) {
  AugmentationOptions options = kNothing;
  options.blur = 2;
  double most = 0;
  for (std::uint64_t i = 0; i < 50; ++i) {
    Sample sample = sample_of(28);
    const auto side = static_cast<std::size_t>(sample.input_side);
    std::ranges::fill(sample.input, 0.0F);
    sample.input[16 * side + 16] = 1;
    RandomStream random(3, 0, i), same(3, 0, i);
    augment(sample, options, random);
    same.uniform(), same.uniform();  // contrast and brightness
    const double sigma = same.uniform(0, 2);
    EXPECT_NEAR(std::accumulate(sample.input.begin(), sample.input.end(), 0.0), 1, 1e-5);
    if (sigma > 0.5) {
      const double ratio = sample.input[16 * side + 18] / sample.input[16 * side + 16];
      EXPECT_NEAR(ratio, std::exp(-2 / (sigma * sigma)), 1e-4);
      EXPECT_FLOAT_EQ(sample.input[18 * side + 16], sample.input[16 * side + 18]);
    }
    most = std::max(most, sigma);
  }
  EXPECT_GT(most, 1.8);
}

TEST(Augmentation, SectionDefectsSpareTheLabelledSection) {
  AugmentationOptions options = kNothing;
  options.missing_section = 1;
  Sample sample = sample_of(4);
  sample.channels = 3, sample.sections = 3, sample.black = -7;
  const std::size_t plane = 64;
  sample.input.resize(3 * plane);
  std::iota(sample.input.begin(), sample.input.end(), 0.0F);
  const Sample before = sample;
  RandomStream random(1, 0, 0);
  augment(sample, options, random);
  for (std::size_t i = 0; i < 3 * plane; ++i) {
    ASSERT_EQ(sample.input[i], i / plane == 1 ? before.input[i] : -7);
  }
  options = kNothing;
  options.low_contrast_section = 1;
  sample = before;
  augment(sample, options, random);
  for (std::size_t i = 0; i < 3 * plane; ++i) {
    const double mean = static_cast<double>(i / plane * plane) + 31.5;
    ASSERT_NEAR(sample.input[i], mean + 0.1 * (static_cast<double>(i) - mean), 1e-3);
  }
}

TEST(Augmentation, TheSameStreamGivesTheSameSample) {
  const AugmentationOptions options;
  Sample first = sample_of(4), second = sample_of(4), other = sample_of(4);
  RandomStream a(1, 2, 3), b(1, 2, 3), c(1, 2, 4);
  augment(first, options, a), augment(second, options, b), augment(other, options, c);
  EXPECT_EQ(first.input, second.input);
  EXPECT_NE(first.input, other.input);
}

}  // namespace
}  // namespace tessera
