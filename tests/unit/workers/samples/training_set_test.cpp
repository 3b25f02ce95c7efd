#include "workers/samples/training_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>

#include "io/base/error.h"
#include "io/hdf5/hdf5_handle.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/geometry/unet_geometry.h"
#include "tests/unit/temporary_folder.h"
#include "training_volumes.h"
#include "workers/samples/pixel_weights.h"
#include "workers/samples/sample_source.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::write_volume;

class TrainingSetTest : public ::testing::Test {
 protected:
  /// A volume whose raw value is `grey` plus x, with labels 0 and 1 by `foreground`.
  TrainingVolume volume(const std::string& name, const Index3& shape, double grey,
                        const std::function<double(const Index3&)>& label,
                        VoxelType type = VoxelType::uint8) const {
    TrainingVolume made;
    made.data.raw = write_volume(folder_ / (name + ".h5"), "raw", type, shape,
                                 [&](const Index3& p) { return grey + static_cast<double>(p.x % 5); });
    made.data.labels = write_volume(folder_ / (name + ".h5"), "labels", VoxelType::uint8, shape, label);
    made.data.sections = {0, shape.z};
    return made;
  }
  static double none(const Index3&) { return 0; }
  static double left(const Index3& p) { return p.x < 10 ? 1 : 0; }

  SampleSource source(const TrainingSet& set, double min_foreground = 0, std::uint64_t seed = 1) const {
    SampleOptions options;
    options.tile_side = 28;  // output 20
    options.seed = seed;
    options.augmentation = augmentation_;
    options.min_foreground = min_foreground;
    return {set, valid_geometry(1, 1), options};
  }

  testing::TemporaryFolder folder_;
  AugmentationOptions augmentation_;
};

TEST_F(TrainingSetTest, CountsMeanAndDeviationArePooled) {
  TrainingSetOptions options;
  options.volumes = {volume("a", {2, 30, 40}, 10, left),
                     volume("b", {1, 50, 20}, 3000, none, VoxelType::uint16)};
  const TrainingSet set(options);
  ASSERT_EQ(set.count(), 2U);
  EXPECT_THAT(set.class_counts(), ElementsAre(2 * 30 * 30 + 50 * 20, 2 * 30 * 10));
  EXPECT_EQ(set.pixels(), 2 * 30 * 40 + 50 * 20);
  double sum = 0, squares = 0, count = 0;
  for (std::size_t v = 0; v < 2; ++v) {
    const Index3 shape = set.volume(v).raw_info().shape;
    for (std::int64_t i = 0; i < volume_of(shape); ++i) {
      const double value = (v == 0 ? 10 : 3000) + static_cast<double>(i % shape.x % 5);
      sum += value, squares += value * value, count += 1;
    }
  }
  EXPECT_NEAR(set.normalisation().mean, sum / count, 1e-9);
  EXPECT_NEAR(set.normalisation().std, std::sqrt(squares / count - sum / count * sum / count), 1e-6);
  EXPECT_NEAR(set.volume(0).mean(), 12, 1e-9);
}

TEST_F(TrainingSetTest, OneVolumeEqualsItsData) {
  const TrainingVolume one = volume("a", {2, 60, 70}, 10, left);
  const TrainingData data(one.data);
  const SampleSource alone = source(data), listed = source(TrainingSet({{one}}));
  EXPECT_EQ(alone.normalisation().mean, data.mean());
  EXPECT_EQ(alone.normalisation().std, data.std());
  // The draws of a training of one volume, written out: section, row, column, as they have always been.
  for (std::int64_t number = 0; number < 30; ++number) {
    RandomStream random(1, static_cast<std::uint64_t>(number / alone.samples_per_epoch()),
                        static_cast<std::uint64_t>(number % alone.samples_per_epoch()));
    const std::int64_t z = random.integer(0, 1), y = random.integer(0, 60 - 20),
                       x = random.integer(0, 70 - 20);
    EXPECT_EQ(alone.draw(number).at, (Index3{z, y, x})) << number;
    EXPECT_EQ(alone.prepare(number).sample.input, listed.prepare(number).sample.input);
  }
}

TEST_F(TrainingSetTest, SamplesComeFromVolumesByTheirAnnotatedPixels) {
  TrainingSetOptions options;
  options.volumes = {volume("a", {1, 30, 40}, 10, left), volume("b", {3, 60, 60}, 99, left),
                     volume("c", {1, 20, 60}, 50, none)};
  options.volumes[1].data.ignore_label = 1;  // a sixth of it
  const auto counted = [&](const TrainingSet& set) {
    const SampleSource samples = source(set);
    std::vector<double> counts(set.count(), 0);
    for (std::int64_t number = 0; number < 4000; ++number)
      counts[samples.draw(number).volume] += 1.0 / 4000;
    return counts;
  };
  const double a = 30 * 40, b = 3 * 60 * 50, c = 20 * 60, all = a + b + c;
  const TrainingSet by_pixels(options);
  EXPECT_NEAR(by_pixels.share(1), b / all, 1e-12);
  std::vector<double> shares = counted(by_pixels);
  EXPECT_NEAR(shares[0], a / all, 0.015);
  EXPECT_NEAR(shares[1], b / all, 0.02);
  EXPECT_NEAR(shares[2], c / all, 0.015);
  options.volumes[0].weight = 3, options.volumes[1].weight = 1, options.volumes[2].weight = 4;
  shares = counted(TrainingSet(options));
  EXPECT_NEAR(shares[0], 3.0 / 8, 0.025);
  EXPECT_NEAR(shares[1], 1.0 / 8, 0.02);
  EXPECT_NEAR(shares[2], 4.0 / 8, 0.025);
}

TEST_F(TrainingSetTest, EachVolumeByItsOwnMeanAndDeviation) {
  TrainingSetOptions options;
  options.volumes = {volume("a", {1, 40, 40}, 10, left),
                     volume("b", {1, 40, 40}, 3000, left, VoxelType::uint16)};
  augmentation_ = {};
  augmentation_.contrast = augmentation_.brightness = augmentation_.noise = 0;
  const auto largest = [&] {
    const SampleSource samples = source(TrainingSet(options));
    float found = 0;
    for (std::int64_t number = 0; number < 40; ++number) {
      for (const float value : samples.prepare(number).sample.input)
        found = std::max(found, std::abs(value));
    }
    return found;
  };
  EXPECT_LT(largest(), 1.1) << "two greys far apart: 1 deviation to either side";
  options.normalisation = NormalisationScope::volume;
  EXPECT_NEAR(largest(), 2 / std::sqrt(2), 1e-4) << "0 to 4 in steps of 1";
}

TEST_F(TrainingSetTest, SmallVolumesAreMirrored) {
  TrainingSetOptions options;
  options.volumes = {volume("a", {1, 9, 7}, 10, left), volume("b", {1, 50, 60}, 20, left)};
  const SampleSource samples = source(TrainingSet(options));
  std::map<std::size_t, int> seen;
  for (std::int64_t number = 0; number < 200; ++number) {
    const PreparedSample prepared = samples.prepare(number);
    EXPECT_EQ(prepared.sample.input.size(), 28U * 28);
    EXPECT_THAT(prepared.sample.classes, Each(::testing::Ne(kIgnoredClass)));
    ++seen[samples.draw(number).volume];
  }
  EXPECT_EQ(seen.size(), 2U);
}

TEST_F(TrainingSetTest, ChannelsMustAgree) {
  TrainingSetOptions options;
  options.volumes = {volume("a", {1, 20, 20}, 10, left), volume("b", {1, 20, 20}, 10, left)};
  {
    const Hdf5Handle file(H5Fcreate((folder_ / "two.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                          H5Fclose);
    const std::array<hsize_t, 4> dims{2, 1, 20, 20};
    const Hdf5Handle space(H5Screate_simple(4, dims.data(), nullptr), H5Sclose);
    const Hdf5Handle dataset(
        H5Dcreate2(file.get(), "raw", H5T_STD_U8LE, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
        H5Dclose);
    ASSERT_TRUE(dataset);
  }
  options.volumes[1].data.raw = {folder_ / "two.h5", "/raw"};
  EXPECT_THAT(message_of([&] { TrainingSet{options}; }),
              AllOf(HasSubstr("two.h5:/raw has 2 channels"), HasSubstr("a.h5:/volumes/raw has 1")));
}

TEST_F(TrainingSetTest, RejectsAnUnannotatedSet) {
  TrainingSetOptions options;
  options.volumes = {volume("a", {1, 20, 20}, 10, none)};
  options.volumes[0].data.ignore_label = 0;
  EXPECT_THAT(message_of([&] { TrainingSet{options}; }), AllOf(HasSubstr("no voxel of"), HasSubstr("a.h5")));
}

TEST_F(TrainingSetTest, ZeroCanBeTheInterior) {
  TrainingVolume one = volume("a", {1, 30, 40}, 10, [](const Index3& p) {
    return p.x < 10 ? 0 : p.x < 15 ? 9 : 2;
  });
  one.data.invert_labels = true;
  one.data.ignore_label = 9;
  EXPECT_THAT(TrainingData(one.data).class_counts(), ElementsAre(30 * 25, 30 * 10));
}

/// Marks every pixel by its position, so that a sample shows the source of each.
class Region : public TrainingSetTest {
 protected:
  Region() {
    one_ = volume("a", {3, 80, 90}, 0,
                  [](const Index3& p) { return static_cast<double>(p.y * 90 + p.x) > 0 ? 1 : 1; });
    one_.data.raw =
        write_volume(folder_ / "a.h5", "raw", VoxelType::uint16, {3, 80, 90},
                     [](const Index3& p) { return static_cast<double>((p.z * 80 + p.y) * 90 + p.x); });
    one_.data.sections = {1, 3};
    one_.data.region = PixelBounds{20, 30, 60, 80};
    one_.data.reach = 28;
  }
  TrainingVolume one_;
};

TEST_F(Region, NoOutputPixelLiesOutside) {
  augmentation_.elastic = 6;
  augmentation_.rotation = 180;
  augmentation_.shift = 10;
  for (const bool small : {false, true}) {
    // Every class outside the region is a trap: were it seen, the sample would hold a 2.
    if (small) one_.data.region = PixelBounds{20, 30, 35, 42};
    const PixelBounds region = *one_.data.region;
    one_.data.classes = 3;
    one_.data.labels =
        write_volume(folder_ / "l.h5", "labels", VoxelType::uint8, {3, 80, 90}, [&](const Index3& p) {
          const bool inside = p.z >= 1 && p.y >= region.y_begin && p.y < region.y_end &&
                              p.x >= region.x_begin && p.x < region.x_end;
          return inside ? 1.0 : 2.0;
        });
    const TrainingData data(one_.data);
    EXPECT_THAT(data.class_counts(), ElementsAre(0, static_cast<std::int64_t>(data.pixels()), 0));
    const SampleSource samples = source(data);
    std::int64_t known = 0, ignored = 0;
    for (std::int64_t number = 0; number < 60; ++number) {
      const PreparedSample prepared = samples.prepare(number);
      ASSERT_EQ(prepared.sample.classes.size(), 20U * 20);
      for (std::size_t i = 0; i < prepared.sample.classes.size(); ++i) {
        const std::uint8_t c = prepared.sample.classes[i];
        ASSERT_NE(c, 2);
        ASSERT_EQ(c == kIgnoredClass, prepared.weights[i] == 0);
        (c == 1 ? known : ignored) += 1;
      }
    }
    EXPECT_GT(known, 1000);
    EXPECT_GT(ignored, 0) << "what bends out of the region";
  }
}

TEST_F(Region, RawAroundItIsThatOfTheVolume) {
  const TrainingData data(one_.data);
  const NetworkGeometry geometry = valid_geometry(1, 1);
  const Sample sample = data.cut(2, 20, 56, 28, geometry, 0, 1);
  const std::int64_t lost = (28 - sample.output_side) / 2;
  std::size_t i = 0;
  for (std::int64_t y = 20 - lost; y < 20 - lost + 28; ++y) {
    for (std::int64_t x = 56 - lost; x < 56 - lost + 28; ++x)
      ASSERT_EQ(sample.input[i++], static_cast<float>((2 * 80 + y) * 90 + x)) << y << " " << x;
  }
  double sum = 0;
  for (std::int64_t z = 1; z < 3; ++z) {
    for (std::int64_t y = 20; y < 60; ++y) {
      for (std::int64_t x = 30; x < 80; ++x)
        sum += static_cast<double>((z * 80 + y) * 90 + x);
    }
  }
  EXPECT_NEAR(data.mean(), sum / (2 * 40 * 50), 1e-6);
  const SectionView view = data.first_section();
  EXPECT_EQ(view.height * view.width, 40 * 50);
  EXPECT_EQ(view.raw.front(), static_cast<float>((80 + 20) * 90 + 30));
}

TEST_F(Region, BeyondItsReachRawIsMirrored) {
  one_.data.reach = 2;
  const TrainingData data(one_.data);
  const Sample sample = data.cut(1, 20, 30, 28, valid_geometry(1, 1), 0, 1);
  ASSERT_EQ(sample.output_side, 20);
  // The first input pixel is (16, 26); what is held begins at (18, 28): two pixels on it turns back.
  const auto raw_at = [](std::int64_t y, std::int64_t x) { return static_cast<float>((80 + y) * 90 + x); };
  EXPECT_EQ(sample.input[0], raw_at(20, 30));
  EXPECT_EQ(sample.input[28 + 1], raw_at(19, 29));
  EXPECT_EQ(sample.input[2 * 28 + 2], raw_at(18, 28));
  EXPECT_EQ(sample.input[27 * 28 + 27], raw_at(43, 53));
}

TEST_F(Region, ReportsARegionOutsideTheSection) {
  one_.data.region = PixelBounds{20, 30, 81, 80};
  EXPECT_THAT(message_of([&] { TrainingData{one_.data}; }),
              AllOf(HasSubstr("data.region: y [20, 81) x [30, 80)"), HasSubstr("80 x 90 pixels")));
}

double foreground_of(const Sample& sample) {
  double count = 0;
  for (const std::uint8_t c : sample.classes)
    count += c == 1 ? 1 : 0;
  return count / static_cast<double>(sample.classes.size());
}

TEST_F(TrainingSetTest, SamplesWithTooLittleForegroundAreDrawnAgain) {
  const TrainingVolume one = volume("a", {1, 120, 200}, 10, left);
  const TrainingData data(one.data);
  const SampleSource plain = source(data), wanted = source(data, 0.2), never = source(data, 0.99);
  int poor = 0, changed = 0, rich = 0;
  double mean = 0, best_mean = 0;
  for (std::int64_t number = 0; number < 100; ++number) {
    const PreparedSample before = plain.prepare(number), after = wanted.prepare(number),
                         best = never.prepare(number);
    const double share = foreground_of(before.sample);
    poor += share < 0.2 ? 1 : 0;
    if (share >= 0.2) {
      EXPECT_EQ(after.sample.input, before.sample.input) << "enough at once: nothing more is drawn";
    } else {
      changed += after.sample.input != before.sample.input ? 1 : 0;
    }
    rich += foreground_of(after.sample) >= 0.2 ? 1 : 0;
    mean += share / 100;
    best_mean += foreground_of(best.sample) / 100;
    EXPECT_EQ(wanted.prepare(number).sample.input, after.sample.input);
    EXPECT_GE(foreground_of(best.sample), share) << "the best of all draws";
  }
  EXPECT_GT(poor, 80);
  EXPECT_GT(changed, 60);
  EXPECT_GT(rich, 50);
  EXPECT_GT(best_mean, 4 * mean);
}

}  // namespace
}  // namespace tessera
