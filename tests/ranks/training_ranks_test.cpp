#include <cmath>

#include "io/volume_file.h"
#include "ranks.h"
#include "workers/mpi/agree.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"
#include "workers/train/validator.h"

namespace tessera {
namespace {

const Communicator& world() {
  return *testing::world_of_tests;
}

constexpr Index3 kShape{4, 96, 96};

/// Blobs and their outlines, written by the root.
void make_volume(const std::filesystem::path& file) {
  on_root(world(), [&] {
    VolumeFile out(file, false);
    VoxelBuffer raw(VoxelType::uint8, kShape), labels(VoxelType::uint8, kShape);
    for (std::int64_t i = 0; i < volume_of(kShape); ++i) {
      const std::int64_t z = i / (kShape.y * kShape.x), y = i / kShape.x % kShape.y, x = i % kShape.x;
      const double wave =
          std::sin(0.2 * static_cast<double>(y + z)) * std::cos(0.17 * static_cast<double>(x));
      const auto at = static_cast<std::size_t>(i);
      labels.as<std::uint8_t>()[at] = std::abs(wave) < 0.2 ? 0 : 255;
      raw.as<std::uint8_t>()[at] =
          static_cast<std::uint8_t>((std::abs(wave) < 0.2 ? 70 : 150) + (i * 7919) % 41);
    }
    for (const auto& [path, voxels] :
         {std::pair{"/volumes/raw", &raw}, std::pair{"/volumes/labels", &labels}}) {
      VolumeSpec spec;
      spec.path = path;
      spec.shape = kShape;
      spec.chunk = {1, 96, 96};
      out.add(spec, false);
      out.write_sections(path, 0, *voxels);
    }
    out.commit();
  });
}

/// Law 3: the losses of 20 iterations, all ranks together against one process alone.
void expect_same_losses(const UNetOptions& network, OptimizerOptions::Kind kind, std::int64_t tile,
                        TrainerOptions options = {}, double w0 = 0) {
  const testing::SharedFolder folder;
  make_volume(folder / "v.h5");
  TrainingDataOptions what{
      {folder / "v.h5", "/volumes/raw"}, {folder / "v.h5", "/volumes/labels"}, {0, 3}, network.classes, 0};
  what.weight_map.w0 = w0;
  const TrainingData data(what);
  if (options.global_batch == 1) options.global_batch = 4;
  options.samples.tile_side = tile;
  options.optimizer.kind = kind;
  const Device device;
  const Communicator alone = Communicator::alone();
  Trainer together(make_network(network, 3), data, options, device, world());
  Trainer own(make_network(network, 3), data, options, device, alone);
  int compared = 0;
  for (int i = 0; i < 20; ++i) {
    const TrainingStep a = together.step(StopWish::none), b = own.step(StopWish::none);
    EXPECT_NEAR(a.loss, b.loss, options.reproducible ? 0 : 1e-5 * std::abs(b.loss)) << "iteration " << i;
    EXPECT_TRUE(a.exchange_share >= 0 && a.exchange_share <= 1) << a.exchange_share;
    EXPECT_EQ(a.iteration, i + 1);
    ++compared;
  }
  EXPECT_EQ(compared, 20);
  if (options.reproducible) {
    Checkpoint a, b;
    together.store(a);
    own.store(b);
    ASSERT_GT(a.arrays.size(), 10U);
    for (const auto& [path, array] : a.arrays)
      EXPECT_EQ(array.bytes, b.arrays.at(path).bytes) << path;
  }

  ValidationOptions validation;
  validation.raw = what.raw;
  validation.labels = what.labels;
  validation.sections = {3, 4};
  validation.normalisation = together.samples().normalisation();
  validation.memory_budget = std::int64_t{1} << 30;
  const ValidationScores a = validate(together.network(), validation, world(), {});
  const ValidationScores b = validate(own.network(), validation, alone, {});
  EXPECT_NEAR(a.pixel_error, b.pixel_error, 2e-3);
  if (options.average_decay == 0) return;
  const auto average = together.averaged_network()->parameters(),
             own_average = own.averaged_network()->parameters();
  // Kernels only: a bias ahead of batch norm has no gradient but rounding, which Adam makes as large as any.
  int kernels = 0;
  for (std::size_t i = 0; i < average.size(); ++i) {
    if (average[i].dim() < 2) continue;
    EXPECT_LT((average[i] - own_average[i]).abs().max().item<double>(), 1e-5) << i;
    ++kernels;
  }
  EXPECT_GT(kernels, 5);
}

TEST(TrainingRanks, Unet2015WithSgd) {
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  expect_same_losses(network, OptimizerOptions::Kind::sgd, 76);
}

TEST(TrainingRanks, KerasSameWithBatchNormAndAdam) {
  UNetOptions network = keras_same_options();
  network.base_filters = 4;
  network.depth = 2;
  expect_same_losses(network, OptimizerOptions::Kind::adam, 48);
}

TEST(TrainingRanks, WeightMapDiceAndAllAugmentation) {
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  TrainerOptions options;
  options.dice_weight = 0.5;
  options.prefetch_threads = 2;
  AugmentationOptions& a = options.samples.augmentation;
  a.elastic = 5, a.rotation = 180, a.scaling = 0.2, a.shift = 3, a.gamma = 0.3, a.blur = 1,
  a.low_contrast_section = 0.2;
  expect_same_losses(network, OptimizerOptions::Kind::sgd, 76, options, 10);
}

// Five samples: ranks that have none, one or two of them, and a tree that is not full.
TEST(TrainingRanks, ReproducibleToTheBit) {
  TrainerOptions options;
  options.reproducible = true;
  options.global_batch = 5;
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  expect_same_losses(network, OptimizerOptions::Kind::sgd, 76, options);
  UNetOptions keras = keras_same_options();
  keras.base_filters = 4;
  keras.depth = 2;
  expect_same_losses(keras, OptimizerOptions::Kind::adam, 48, options);
}

TEST(TrainingRanks, InBfloat16) {
  UNetOptions network;
  network.base_filters = 8;
  network.depth = 2;
  TrainerOptions options;
  options.precision = Precision::bfloat16;
  try {
    expect_same_losses(network, OptimizerOptions::Kind::sgd, 76, options);
  } catch (const UsageError& error) {
    GTEST_SKIP() << error.what();  // every rank alike
  }
}

TEST(TrainingRanks, AdamWWithScheduleClippingAndAverage) {
  UNetOptions network = keras_same_options();
  network.base_filters = 4;
  network.depth = 2;
  TrainerOptions options;
  options.schedule = {.kind = LearningRateSchedule::Kind::cosine, .iterations = 20, .warm_up = 4};
  options.optimizer.weight_decay = 0.01;
  options.clip_norm = 0.2;
  options.average_decay = 0.9;
  expect_same_losses(network, OptimizerOptions::Kind::adamw, 48, options);
}

TEST(TrainingRanks, TheFirstWorkersClockDecidesTheRate) {
  const testing::SharedFolder folder;
  make_volume(folder / "v.h5");
  UNetOptions network;
  network.base_filters = 2;
  network.depth = 1;
  const TrainingData data(
      {{folder / "v.h5", "/volumes/raw"}, {folder / "v.h5", "/volumes/labels"}, {0, 3}, 2, 0});
  TrainerOptions options;
  options.samples.tile_side = 40;
  options.schedule = {.kind = LearningRateSchedule::Kind::polynomial, .iterations = 100, .power = 1};
  Trainer trainer(make_network(network, 3), data, options, {}, world());
  const double share = world().rank() == 0 ? 0.75 : 0.5;
  EXPECT_DOUBLE_EQ(trainer.step(StopWish::none, share).learning_rate, 0.25 * options.optimizer.learning_rate);
  EXPECT_DOUBLE_EQ(trainer.step(StopWish::none, 0).learning_rate, 0.99 * options.optimizer.learning_rate);
}

TEST(TrainingRanks, AWishToStopOnOneRankReachesAll) {
  const testing::SharedFolder folder;
  make_volume(folder / "v.h5");
  UNetOptions network;
  network.base_filters = 2;
  network.depth = 1;
  const TrainingData data(
      {{folder / "v.h5", "/volumes/raw"}, {folder / "v.h5", "/volumes/labels"}, {0, 3}, 2, 0});
  TrainerOptions options;
  options.samples.tile_side = 40;
  Trainer trainer(make_network(network, 3), data, options, {}, world());
  EXPECT_EQ(trainer.step(StopWish::none).stop, StopWish::none);
  const bool last = world().rank() == world().size() - 1;
  EXPECT_EQ(trainer.step(last ? StopWish::signal : StopWish::none).stop, StopWish::signal);
  EXPECT_EQ(trainer.step(last ? StopWish::time_is_up : StopWish::none).stop, StopWish::time_is_up);
}

}  // namespace
}  // namespace tessera
