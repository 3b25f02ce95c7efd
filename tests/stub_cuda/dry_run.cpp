// Training and prediction on a stub CUDA device, started by tests/stub_cuda/dry-run. Results have no meaning.
// Tested are: no exception, no call that a device would reject, and no waiting for the device where none is
// promised.
#include <ATen/Functions.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <cmath>
#include <thread>

#include "io/geometry/tile_grid.h"
#include "stub_cuda.h"
#include "tests/unit/temporary_folder.h"
#include "tests/unit/workers/samples/training_volumes.h"
#include "workers/infer/tile_choice.h"
#include "workers/infer/tile_predictor.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"

namespace tessera {
namespace {

template <class Function>
Function* stub(Function* /*like*/, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}
#define STUB(name) stub(name, #name)

/// While it lives, waiting for the device is a mistake.
class NobodyWaits {
 public:
  NobodyWaits() { STUB(stub_cuda_forbid_waiting)(true); }
  ~NobodyWaits() { STUB(stub_cuda_forbid_waiting)(false); }
};

Device device_of(int index) {
  Device device;
  device.cuda = true;
  device.index = index;
  device.memory = std::int64_t{80} << 30;
  return device;
}

class DryRun : public ::testing::Test {
 protected:
  void SetUp() override {
    if (STUB(stub_cuda_mistakes) == nullptr) GTEST_SKIP() << "start it by tests/stub_cuda/dry-run";
    before_ = STUB(stub_cuda_mistakes)();
    launched_ = STUB(stub_cuda_launches)();
  }
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_EQ(STUB(stub_cuda_mistakes)(), before_) << "see the output of the stub CUDA above";
    EXPECT_GT(STUB(stub_cuda_launches)(), launched_) << "no kernel was started";
  }

 private:
  long before_ = 0, launched_ = 0;
};

struct TrainingCase {
  bool same = false;
  Precision precision = Precision::float32;
  SamplingPlace sampling = SamplingPlace::automatic;
  bool reproducible = false;
  int index = 0;
};

class DryTraining : public DryRun, public ::testing::WithParamInterface<TrainingCase> {
 protected:
  void train(const TrainingCase& c) {
    constexpr Index3 shape{2, 150, 160};
    const testing::TemporaryFolder folder;
    TrainingDataOptions data;
    const auto disc = [](const Index3& p) { return std::hypot(p.y % 50 - 25, p.x % 40 - 20) < 12; };
    data.raw = testing::write_volume(folder / "v.h5", "raw", VoxelType::uint8, shape, [](const Index3& p) {
      return static_cast<double>((p.y * 7 + p.x * 13) % 200);
    });
    data.labels = testing::write_volume(folder / "v.h5", "labels", VoxelType::uint8, shape,
                                        [&](const Index3& p) { return disc(p) ? 1.0 : 0.0; });
    data.sections = {0, 2};
    data.weight_map.w0 = 10;
    const TrainingData held(data);
    UNetOptions network = c.same ? keras_same_options() : unet2015_options();
    network.base_filters = 8;
    network.depth = 2;
    network.dropout = 0.3;
    TrainerOptions options;
    options.precision = c.precision;
    options.sampling = c.sampling;
    options.reproducible = c.reproducible;
    options.global_batch = 3;
    options.clip_norm = 1;
    options.dice_weight = c.same ? 0.5 : 0;
    options.average_decay = 0.9;
    options.optimizer.kind = c.same ? OptimizerOptions::Kind::adamw : OptimizerOptions::Kind::sgd;
    options.optimizer.weight_decay = 0.01;
    options.samples.tile_side = geometry_of(network).input_side_for(32);
    AugmentationOptions& change = options.samples.augmentation;
    if (!c.same) change.elastic = 3, change.rotation = 180;
    change.gamma = 0.2;
    change.blur = 1;
    change.low_contrast_section = 0.5;
    const Communicator alone = Communicator::alone();
    choose_algorithms(device_of(c.index), c.reproducible);
    Trainer trainer(make_network(network, 3), held, options, device_of(c.index), alone);
    // In the first iterations libraries choose algorithms and LibTorch's memory grows.
    for (int i = 0; i < 4; ++i)
      trainer.step(StopWish::none);
    if (c.reproducible) return;  // its sums are added on the host
    {
      const NobodyWaits nobody;
      for (int i = 0; i < 5; ++i)
        trainer.advance();
    }
    int told = 0;
    trainer.report([&](const TrainingStep&) { ++told; });
    EXPECT_EQ(told, 5);
    Checkpoint checkpoint;
    trainer.store(checkpoint);
    trainer.restore(checkpoint, "itself");
    EXPECT_NE(trainer.averaged_network(), nullptr);
  }
};

TEST_P(DryTraining, NoIterationWaits) {
  train(GetParam());
}

std::vector<TrainingCase> training_cases() {
  std::vector<TrainingCase> all;
  for (const bool same : {false, true}) {
    for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
      for (const SamplingPlace sampling : {SamplingPlace::host, SamplingPlace::device})
        all.push_back({same, precision, sampling});
      all.push_back({same, precision, SamplingPlace::automatic, true});
    }
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, DryTraining, ::testing::ValuesIn(training_cases()));

struct PredictionCase {
  bool same = false;
  Precision precision = Precision::float32;
  Averaging averaging = Averaging::none;
  Blending blending = Blending::crop;
  VoxelType raw = VoxelType::uint8, output = VoxelType::uint8;
  bool labels = false;
  bool reproducible = false;
  int index = 0;
  ExactTiles exact_tiles = ExactTiles::automatic;
};

class DryPrediction : public DryRun, public ::testing::WithParamInterface<PredictionCase> {
 protected:
  void predict(const PredictionCase& c) {
    UNetOptions network = c.same ? keras_same_options() : unet2015_options();
    network.base_filters = 8;
    network.depth = 2;
    PredictorOptions options;
    options.precision = c.precision;
    options.averaging = c.averaging;
    options.blending = c.blending;
    options.output_type = c.output;
    options.labels = c.labels;
    options.device = device_of(c.index);
    options.exact_tiles = c.exact_tiles;
    choose_algorithms(options.device, c.reproducible);
    const Index3 shape{8, 200, 230};
    VoxelBuffer raw(c.raw, shape);
    const NetworkTraits traits(network);
    const TilePredictor predictor(make_network(network, 3), options);
    TileDemand demand;
    demand.cuda = true;
    demand.averaging = c.averaging;
    const std::int64_t side = geometry_of(network).input_side_for(64);
    if (c.blending != Blending::crop) demand.blend_overlap = 8;
    const TileGrid grid = make_tile_grid(traits, shape, {1, side, side}, 0, demand);
    const Box block = Box::of_shape(shape);
    const std::vector<Tile> tiles = grid.tiles_of(block);
    ASSERT_GT(tiles.size(), 6U);
    std::size_t done = 0;
    const auto queued = [&] {
      return predictor.queue(raw, block, shape, tiles, block, [&](std::int64_t) { ++done; });
    };
    for (int round = 0; round < 3; ++round) {
      // In the first round kernels are chosen and recorded, and memory is allocated.
      std::unique_ptr<NobodyWaits> nobody;
      if (round > 0) nobody = std::make_unique<NobodyWaits>();
      const auto first = queued(), second = queued();
      nobody.reset();
      first->finish();
      second->finish();
    }
    EXPECT_EQ(done, 6 * tiles.size());
  }
};

TEST_P(DryPrediction, NothingWaitsBeforeTheEnd) {
  predict(GetParam());
}

std::vector<PredictionCase> prediction_cases() {
  std::vector<PredictionCase> all;
  for (const bool same : {false, true}) {
    for (const bool reproducible : {false, true}) {
      for (const Precision precision : {Precision::float32, Precision::bfloat16, Precision::float16})
        all.push_back({same, precision, Averaging::none, Blending::crop, VoxelType::uint8, VoxelType::uint8,
                       false, reproducible});
    }
    for (const Averaging averaging : {Averaging::symmetries8, Averaging::rotations7}) {
      for (const ExactTiles exact : {ExactTiles::automatic, ExactTiles::yes})
        all.push_back(
            {.same = same, .precision = Precision::bfloat16, .averaging = averaging, .exact_tiles = exact});
    }
    for (const Blending blending : {Blending::linear, Blending::gaussian})
      all.push_back({same, Precision::bfloat16, Averaging::none, blending});
    for (const VoxelType type : {VoxelType::uint16, VoxelType::float32})
      all.push_back({same, Precision::bfloat16, Averaging::none, Blending::crop, type, VoxelType::float16});
    all.push_back({same, Precision::bfloat16, Averaging::none, Blending::crop, VoxelType::uint8,
                   VoxelType::uint8, true});
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, DryPrediction, ::testing::ValuesIn(prediction_cases()));

// As in a validation or a benchmark: the first recording creates what both share.
class DryTrainingAfterPrediction : public DryTraining {};
TEST_P(DryTrainingAfterPrediction, IsRecordedToo) {
  choose_algorithms(device_of(0), false);
  UNetOptions network = unet2015_options();
  network.base_filters = 8;
  network.depth = 2;
  const auto predicting = make_tile_network(*make_network(network, 3), Precision::bfloat16, device_of(0));
  const std::int64_t side = geometry_of(network).input_side_for(32);
  const at::Tensor input = at::zeros({1, 1, side, side}, at::TensorOptions(at::kFloat).device(at::kCUDA));
  for (int i = 0; i < 3; ++i)
    predicting->logits(input);
  train(GetParam());
}
INSTANTIATE_TEST_SUITE_P(All, DryTrainingAfterPrediction,
                         ::testing::Values(TrainingCase{false, Precision::bfloat16, SamplingPlace::device}));

// Computing on the second device, from a thread whose current device is the first, takes no memory of the
// first.
class DrySecondDevice : public DryTraining {};
TEST_P(DrySecondDevice, LeavesTheFirstAlone) {
  if (torch::cuda::device_count() < 2) GTEST_SKIP() << "STUB_CUDA_DEVICES=2";
  STUB(stub_cuda_forbid_device)(0);
  std::jthread([&] { train(GetParam()); }).join();
  STUB(stub_cuda_forbid_device)(-1);
}
INSTANTIATE_TEST_SUITE_P(
    All, DrySecondDevice,
    ::testing::Values(TrainingCase{false, Precision::bfloat16, SamplingPlace::host, false, 1},
                      TrainingCase{true, Precision::bfloat16, SamplingPlace::device, false, 1}));

class DryPredictionSecond : public DryPrediction {};
TEST_P(DryPredictionSecond, LeavesTheFirstAlone) {
  if (torch::cuda::device_count() < 2) GTEST_SKIP() << "STUB_CUDA_DEVICES=2";
  STUB(stub_cuda_forbid_device)(0);
  std::jthread([&] { predict(GetParam()); }).join();
  STUB(stub_cuda_forbid_device)(-1);
}
INSTANTIATE_TEST_SUITE_P(All, DryPredictionSecond, ::testing::Values([] {
                           PredictionCase c;
                           c.precision = Precision::bfloat16;
                           c.index = 1;
                           return c;
                         }()));

}  // namespace
}  // namespace tessera
