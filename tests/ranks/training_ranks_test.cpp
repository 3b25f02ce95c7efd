#include <cmath>

#include "io/hdf5/volume_file.h"
#include "ranks.h"
#include "tests/unit/bfloat16_support.h"
#include "workers/mpi/agreement.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"
#include "workers/train/validator.h"

namespace tessera {
namespace {

using testing::world;

/// Blobs and their outlines, written by the root.
void make_volume(const std::filesystem::path& file, const Index3& shape = {4, 96, 96}) {
  on_root(world(), [&] {
    VolumeFile out(file, false);
    VoxelBuffer raw(VoxelType::uint8, shape), labels(VoxelType::uint8, shape);
    for (std::int64_t i = 0; i < volume_of(shape); ++i) {
      const std::int64_t z = i / (shape.y * shape.x), y = i / shape.x % shape.y, x = i % shape.x;
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
      spec.shape = shape;
      spec.chunk = {1, shape.y, shape.x};
      out.add(spec, false);
      out.write_sections(path, 0, *voxels);
    }
    out.commit();
  });
}

/// Law 3: the losses of 20 iterations, all ranks together against a single process.
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
  validation.volumes = {{what.raw, what.labels, {3, 4}, together.samples().normalisation()}};
  validation.memory_budget = std::int64_t{1} << 30;
  const ValidationScores a = *validate(together.network(), validation, world(), {});
  const ValidationScores b = *validate(own.network(), validation, alone, {});
  EXPECT_NEAR(a.pixel_error, b.pixel_error, 2e-3);
  if (options.average_decay == 0) return;
  const auto average = together.averaged_network()->parameters(),
             own_average = own.averaged_network()->parameters();
  // Kernels only: the gradient of a bias before batch norm is rounding noise, which Adam amplifies.
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

// The defaults of GPUs, on the CPU.
TEST(TrainingRanks, SamplesBatchedMadeAndSummedOnTheDevice) {
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  TrainerOptions options;
  options.global_batch = 7;
  options.samples_at_once = 3;
  options.sampling = SamplingPlace::device;
  options.sums_on_device = true;
  options.samples.augmentation.elastic = 5;
  expect_same_losses(network, OptimizerOptions::Kind::sgd, 76, options);
}

// One worker on a CPU, the others on GPUs.
TEST(TrainingRanks, EveryRankReadsEveryIterationIfOneDoes) {
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  TrainerOptions options;
  options.sums_on_device = world().rank() % 2 == 0;
  options.sampling = world().rank() % 2 == 0 ? SamplingPlace::device : SamplingPlace::host;
  expect_same_losses(network, OptimizerOptions::Kind::sgd, 76, options);
}

// With sums on the host or on the device: every worker throws, none waits.
TEST(TrainingRanks, NonFiniteLossEndsEveryWorker) {
  const testing::SharedFolder folder;
  make_volume(folder / "v.h5");
  const TrainingData data(
      {{folder / "v.h5", "/volumes/raw"}, {folder / "v.h5", "/volumes/labels"}, {0, 3}, 2, 0});
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  TrainerOptions options;
  options.global_batch = 4;
  options.samples.tile_side = 76;
  options.optimizer.learning_rate = 1e30;
  for (const bool first_on_device : {false, true}) {
    for (const bool others_on_device : {false, true}) {
      options.sums_on_device = world().is_root() ? first_on_device : others_on_device;
      Trainer training(make_network(network, 3), data, options, Device(), world());
      EXPECT_THROW(
          {
            for (int i = 0; i < 6; ++i)
              training.advance();
            training.report([](const TrainingStep&) {});
          },
          NonFiniteLoss);
    }
  }
}

// A stub of NCCL that sums by MPI.
TEST(TrainingRanks, GradientsByNccl) {
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  TrainerOptions options;
  options.global_batch = 3;
  options.sums_on_device = true;
  options.nccl_library = TESSERA_STAND_IN_NCCL;
  expect_same_losses(network, OptimizerOptions::Kind::sgd, 76, options);
  UNetOptions keras = keras_same_options();
  keras.base_filters = 4;
  keras.depth = 2;
  expect_same_losses(keras, OptimizerOptions::Kind::adam, 48, options);
}

// Five samples: some ranks have none, one or two of them, and the tree is incomplete.
TEST(TrainingRanks, BitwiseReproducible) {
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
  if (!testing::cpu_trains_in_bfloat16()) GTEST_SKIP() << "oneDNN has no bfloat16 on this processor";
  UNetOptions network;
  network.base_filters = 8;
  network.depth = 2;
  TrainerOptions options;
  options.precision = Precision::bfloat16;
  expect_same_losses(network, OptimizerOptions::Kind::sgd, 76, options);
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

TEST(TrainingRanks, TheFirstWorkersClockGivesTheRate) {
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

/// Three volumes of three shapes. One is held out, and a part of another.
TEST(TrainingRanks, SeveralVolumes) {
  const testing::SharedFolder folder;
  make_volume(folder / "v.h5");
  make_volume(folder / "w.h5", {1, 50, 70});
  make_volume(folder / "x.h5", {1, 90, 60});
  UNetOptions network;
  network.base_filters = 4;
  network.depth = 2;
  TrainingSetOptions options;
  for (const char* name : {"v.h5", "w.h5"}) {
    TrainingDataOptions one{
        {folder / name, "/volumes/raw"}, {folder / name, "/volumes/labels"}, {0, 1}, 2, 0};
    options.volumes.push_back({one, std::nullopt});
  }
  options.volumes[1].data.region = PixelBounds{5, 7, 45, 66};
  options.normalisation = NormalisationScope::volume;
  const TrainingSet data(options);
  TrainerOptions trainer_options;
  trainer_options.global_batch = 4;
  trainer_options.samples.tile_side = 76;
  trainer_options.samples.min_foreground = 0.5;
  trainer_options.samples.augmentation.elastic = 3;
  const Communicator alone = Communicator::alone();
  Trainer together(make_network(network, 3), data, trainer_options, {}, world());
  Trainer own(make_network(network, 3), data, trainer_options, {}, alone);
  int compared = 0;
  for (int i = 0; i < 20; ++i) {
    const TrainingStep a = together.step(StopWish::none), b = own.step(StopWish::none);
    EXPECT_NEAR(a.loss, b.loss, 1e-5 * std::abs(b.loss)) << "iteration " << i;
    ++compared;
  }
  EXPECT_EQ(compared, 20);

  // The same network on every rank. So differences come only from the distribution and the cropping of the
  // sections.
  ValidationOptions validation;
  const auto add = [&](const char* name, const Sections& sections, std::size_t number) {
    ValidationVolume one{
        {folder / name, "/volumes/raw"}, {folder / name, "/volumes/labels"}, sections, {110, 40}};
    one.number = number;
    validation.volumes.push_back(one);
  };
  validation.memory_budget = std::int64_t{1} << 30;
  int shown = 0;
  const auto compare = [&] {
    std::int64_t pictures = 0, right_size = 0;
    const ValidationScores a =
        *validate(own.network(), validation, world(), [&](const PredictedSection& section) {
          const auto pixels = static_cast<std::size_t>(section.height * section.width);
          right_size += section.probability.size() == pixels && section.raw.size() == pixels &&
                                section.truth.size() == pixels
                            ? 1
                            : 0;
          ++pictures;
        });
    const ValidationScores b = *validate(own.network(), validation, alone, {});
    EXPECT_NEAR(a.pixel_error, b.pixel_error, 1e-4);
    EXPECT_EQ(a.threshold, b.threshold);
    EXPECT_NEAR(a.iou, b.iou, 1e-4);
    EXPECT_NEAR(a.rand_f, b.rand_f, 1e-3);
    EXPECT_GT(b.pixel_error, 0);
    EXPECT_LT(b.pixel_error, 0.7);
    world().sum(std::span(&pictures, 1));
    world().sum(std::span(&right_size, 1));
    EXPECT_EQ(pictures, static_cast<std::int64_t>(validation.volumes.size()))
        << "one worker reads each volume, once";
    EXPECT_EQ(right_size, pictures);
    ++shown;
    return b;
  };
  add("v.h5", {2, 3}, 0);  // one section: cut into bands for every number of ranks
  const double first = compare().pixel_error;
  add("x.h5", {0, 1}, 2);
  validation.volumes[1].region = PixelBounds{10, 0, 81, 55};
  const double both = compare().pixel_error;
  const double pixels = 96 * 96, more = 71 * 55;
  validation.volumes.erase(validation.volumes.begin());
  const double second = compare().pixel_error;
  // The sums are reduced before the division. At its own threshold each volume's error is at most that at the
  // common threshold.
  EXPECT_GE(both + 1e-9, (first * pixels + second * more) / (pixels + more));
  EXPECT_EQ(shown, 3);
}

/// One worker that has to leave ends the iteration and the validation of all, and nobody waits.
TEST(TrainingRanks, AWorkerThatHasToLeaveTakesAllWithIt) {
  const testing::SharedFolder folder;
  make_volume(folder / "v.h5");
  UNetOptions network;
  network.base_filters = 2;
  network.depth = 2;
  const TrainingData data(
      {{folder / "v.h5", "/volumes/raw"}, {folder / "v.h5", "/volumes/labels"}, {0, 3}, 2, 0});
  for (const bool reproducible : {false, true}) {
    TrainerOptions options;
    options.samples.tile_side = 60;
    options.global_batch = 6;
    options.reproducible = reproducible;
    Trainer left(make_network(network, 3), data, options, {}, world()),
        straight(make_network(network, 3), data, options, {}, world());
    const double first = left.step().loss;
    EXPECT_EQ(straight.step().loss, first);
    int asked = 0, limit = 0;
    const bool last = world().rank() == world().size() - 1;
    left.leave_when([&] { return last && ++asked > limit; });
    for (; limit < 40; limit += 7) {
      asked = 0;
      const IterationEnd end = left.advance();
      EXPECT_TRUE(end.left);
      EXPECT_EQ(end.stop, StopWish::stop_early);
      EXPECT_EQ(left.iteration(), 1);
    }
    left.leave_when({});
    EXPECT_EQ(left.step().loss, straight.step().loss);
    EXPECT_TRUE(left.advance({.save = last}).save);
    EXPECT_FALSE(left.advance().save);
  }
  ValidationOptions validation;
  validation.volumes = {
      {{folder / "v.h5", "/volumes/raw"}, {folder / "v.h5", "/volumes/labels"}, {1, 4}, {110, 40}}};
  validation.memory_budget = std::int64_t{1} << 30;
  const auto held = make_network(network, 3);
  EXPECT_TRUE(validate(*held, validation, world(), {}));
  for (int limit = 0; limit < 12; limit += 3) {
    int asked = 0;
    const bool last = world().rank() == world().size() - 1;
    validation.must_leave = [&] { return last && ++asked > limit; };
    EXPECT_FALSE(validate(*held, validation, world(), {}));
  }
}

TEST(TrainingRanks, AStopOnOneRankReachesAll) {
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
  EXPECT_EQ(trainer.step(last ? StopWish::stop_early : StopWish::none).stop, StopWish::stop_early);
  EXPECT_EQ(trainer.step(last ? StopWish::time_is_up : StopWish::none).stop, StopWish::time_is_up);
}

}  // namespace
}  // namespace tessera
