#include "workers/samples/device_sampler.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/unit/temporary_folder.h"
#include "tests/unit/workers/device/host_launcher.h"
#include "training_volumes.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

constexpr Index3 kShape{5, 50, 60};

double raw_at(const Index3& p) {
  const auto y = static_cast<double>(p.y), x = static_cast<double>(p.x), z = static_cast<double>(p.z);
  return std::round(120 + 60 * std::sin(0.3 * y + z) * std::cos(0.23 * x) +
                    static_cast<double>((p.y * 7 + p.x * 13) % 30));
}
double label_at(const Index3& p) {
  return static_cast<double>((p.y / 9 + p.x / 7 + p.z) % 4);
}

struct Differences {
  double input = 0;          ///< the largest
  std::int64_t targets = 0;  ///< pixels of another class or weight
  std::int64_t pixels = 0;
};

class DeviceSamplerTest : public ::testing::Test {
 protected:
  DeviceSamplerTest() {
    options_.augmentation = {.rotate = true, .mirror = true};
    options_.tile_side = 60;
  }

  TrainingDataOptions volume(VoxelType type = VoxelType::uint8, const Index3& shape = kShape) {
    const std::string name = "v" + std::to_string(++volumes_);
    TrainingDataOptions made;
    made.raw = testing::write_volume(folder_ / "em.h5", name + "raw", type, shape, raw_at);
    made.labels =
        testing::write_volume(folder_ / "em.h5", name + "labels", VoxelType::uint8, shape, label_at);
    made.sections = {0, shape.z};
    return made;
  }

  /// Between what the host and what the device makes of the same numbers.
  Differences compare(const TrainingSet& data, int samples = 24) {
    UNetOptions network;
    network.depth = 2;
    SampleSource source(data, geometry_of(network), options_);
    Differences found;
    DeviceSampler sampler(source, at::kCPU);
    compare(source, sampler, samples, found);
    int started = 0;
    DeviceSampler by_kernels(source, at::kCPU, testing::host_launcher(started));
    compare(source, by_kernels, samples, found);
    EXPECT_GE(started, 2 * samples) << "one kernel each for input and targets";
    return found;
  }

  static void compare(SampleSource& source, DeviceSampler& sampler, int samples, Differences& found) {
    for (std::int64_t number = 0; number < samples; number += 2) {
      const std::vector<SampleRecipe> recipes{source.recipe(number), source.recipe(number + 1)};
      const SampleTensors made = sampler.make(recipes);
      EXPECT_TRUE(made.input.is_contiguous(at::MemoryFormat::ChannelsLast));
      for (std::int64_t i = 0; i < 2; ++i) {
        PreparedSample expected = source.prepare(number + i);
        EXPECT_EQ(expected.recipe.dropout_seed, recipes[static_cast<std::size_t>(i)].dropout_seed);
        add_differences(expected, made.input[i].contiguous(), made.classes[i], made.weights[i], found);
      }
    }
  }

  static void add_differences(PreparedSample& expected, const at::Tensor& input, const at::Tensor& classes,
                              const at::Tensor& weights, Differences& found) {
    ASSERT_EQ(static_cast<std::size_t>(input.numel()), expected.sample.input.size());
    ASSERT_EQ(static_cast<std::size_t>(classes.numel()), expected.sample.classes.size());
    const float* values = input.data_ptr<float>();
    for (std::size_t i = 0; i < expected.sample.input.size(); ++i)
      found.input = std::max(found.input, std::abs(static_cast<double>(values[i]) -
                                                   static_cast<double>(expected.sample.input[i])));
    for (std::size_t i = 0; i < expected.weights.size(); ++i) {
      const bool same = classes.data_ptr<std::int64_t>()[i] == expected.sample.classes[i] &&
                        std::abs(weights.data_ptr<float>()[i] - expected.weights[i]) < 1e-5F;
      found.targets += same ? 0 : 1;
      ++found.pixels;
    }
  }

  void expect_equal(const TrainingSet& data, const char* what) {
    SCOPED_TRACE(what);
    const Differences found = compare(data);
    EXPECT_LT(found.input, 1e-4);
    EXPECT_GT(found.pixels, 1000);
    // A place may be rounded the other way where it lies half between two pixels.
    EXPECT_LE(found.targets, found.pixels / 100000);
  }

  testing::TemporaryFolder folder_;
  SampleOptions options_;
  int volumes_ = 0;
};

TEST_F(DeviceSamplerTest, EqualsTheHostsSamples) {
  const TrainingData data(volume());
  struct Case {
    const char* what;
    std::function<void(AugmentationOptions&)> set;
  };
  const std::vector<Case> cases{
      {"plain", [](auto&) {}},
      {"nothing",
       [](auto& a) {
         a = {false, false, 0, 0, 0};
       }},
      {"no noise", [](auto& a) { a.noise = 0; }},
      {"elastic", [](auto& a) { a.elastic = 10; }},
      {"rotation", [](auto& a) { a.rotation = 180; }},
      {"scaling", [](auto& a) { a.scaling = 0.5; }},
      {"shift", [](auto& a) { a.shift = 7; }},
      {"shift without symmetries", [](auto& a) { a.shift = 7, a.rotate = false, a.mirror = false; }},
      {"gamma", [](auto& a) { a.gamma = 1; }},
      {"blur", [](auto& a) { a.blur = 5; }},
      {"low contrast", [](auto& a) { a.low_contrast_section = 0.5; }},
      {"all",
       [](auto& a) {
         a.elastic = 5, a.rotation = 180, a.scaling = 0.2, a.shift = 3, a.gamma = 0.5, a.blur = 2;
         a.low_contrast_section = 0.3;
       }},
  };
  for (const Case& one : cases) {
    options_.augmentation = {};
    one.set(options_.augmentation);
    expect_equal(data, one.what);
  }
}

TEST_F(DeviceSamplerTest, UsesLibTorchsOperatorsWithoutKernels) {
  const TrainingData data(volume());
  options_.augmentation.elastic = 4;
  UNetOptions network;
  network.depth = 2;
  SampleSource source(data, geometry_of(network), options_);
  int tried = 0;
  const KernelLauncher fails = [&](const KernelStart&, std::span<void*>) {
    ++tried;
    TORCH_CHECK(false, "no NVRTC");
  };
  DeviceSampler plain(source, at::kCPU), without(source, at::kCPU, fails);
  for (std::int64_t number = 0; number < 4; ++number) {
    const std::vector<SampleRecipe> recipes{source.recipe(number)};
    EXPECT_TRUE(without.make(recipes).input.equal(plain.make(recipes).input));
  }
  EXPECT_EQ(tried, 1);
}

TEST_F(DeviceSamplerTest, EqualsTheHostsSamplesOfSerialSections) {
  TrainingDataOptions what = volume();
  what.context = 1;
  what.sections = {0, 3};
  what.weight_map.w0 = 10;
  what.ignore_label = 3;
  const TrainingData data(what);
  options_.augmentation.missing_section = 0.4;
  options_.augmentation.low_contrast_section = 0.3;
  options_.augmentation.noise = 0.3;
  expect_equal(data, "cut");
  options_.augmentation.misaligned_section = 0.5;
  expect_equal(data, "misaligned");
  options_.augmentation.elastic = 4;
  expect_equal(data, "bent");
}

TEST_F(DeviceSamplerTest, EqualsTheHostsSamplesOfOtherVolumes) {
  options_.augmentation.elastic = 4;
  TrainingDataOptions part = volume(VoxelType::uint16);
  part.region = PixelBounds{5, 7, 38, 50};
  part.reach = 9;
  part.weight_map.w0 = 5;
  TrainingSetOptions several;
  several.volumes = {{volume(VoxelType::float32), {}},
                     {part, {}},
                     {volume(VoxelType::uint8, {2, 13, 9}), {}},
                     {volume(VoxelType::uint8, {1, 1, 70}), {}}};
  several.normalisation = NormalisationScope::volume;
  expect_equal(TrainingSet(several), "bent");
  options_.augmentation.elastic = 0;
  expect_equal(TrainingSet(several), "cut");
  several.normalisation = NormalisationScope::all;
  expect_equal(TrainingSet(several), "normalised together");
}

// Strips: more pixels than are interpolated at once.
TEST_F(DeviceSamplerTest, EqualsTheHostsLargeSample) {
  const TrainingData data(volume());
  options_.tile_side = 780;
  options_.augmentation.elastic = 10;
  const Differences found = compare(data, 2);
  EXPECT_LT(found.input, 1e-4);
  EXPECT_LE(found.targets, found.pixels / 100000);
}

TEST_F(DeviceSamplerTest, ConstantSampleStaysConstant) {
  TrainingDataOptions what = volume();
  what.raw = testing::write_volume(folder_ / "blank.h5", "raw", VoxelType::uint8, kShape,
                                   [](const Index3&) { return 7.0; });
  options_.augmentation.gamma = 1;
  options_.augmentation.noise = 0;
  expect_equal(TrainingData(what), "blank");
}

TEST_F(DeviceSamplerTest, ReportsItsBytes) {
  TrainingDataOptions what = volume();
  EXPECT_EQ(DeviceSampler::bytes_of(TrainingData(what)), 2 * volume_of(kShape));
  what.weight_map.w0 = 1;
  EXPECT_EQ(DeviceSampler::bytes_of(TrainingData(what)), 6 * volume_of(kShape));
  EXPECT_EQ(DeviceSampler::bytes_of(TrainingData(volume(VoxelType::uint16))), 5 * volume_of(kShape));
}

}  // namespace
}  // namespace tessera
