#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/unit/temporary_folder.h"
#include "tests/unit/workers/samples/training_volumes.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"

namespace tessera::testing {

inline UNetOptions paper_style() {
  UNetOptions options = unet2015_options();
  options.base_filters = 2;
  options.depth = 2;
  return options;
}

inline UNetOptions keras_style() {
  UNetOptions options = keras_same_options();
  options.base_filters = 2;
  options.depth = 2;
  return options;
}

/// Two sections of bright discs, and small steps over them.
class TrainerTest : public ::testing::Test {
 protected:
  /// Bright discs, which are class 1, on a dark ground.
  TrainerTest() {
    constexpr Index3 shape{2, 50, 60};
    const auto disc = [](const Index3& p) {
      return std::hypot(p.y % 25 - 12, p.x % 20 - 10) < 6 + static_cast<double>(p.z);
    };
    data_options_.raw = write_volume(folder_ / "em.h5", "raw", VoxelType::uint8, shape, [&](const Index3& p) {
      return static_cast<double>((disc(p) ? 180 : 60) + (p.y * 7 + p.x * 13) % 30);
    });
    data_options_.labels = write_volume(folder_ / "em.h5", "labels", VoxelType::uint8, shape,
                                        [&](const Index3& p) { return disc(p) ? 1.0 : 0.0; });
    data_options_.sections = {0, 2};
    options_.samples.tile_side = 60;
    options_.global_batch = 2;
    options_.optimizer.learning_rate = 1e-3;
  }

  std::unique_ptr<Trainer> trainer(const UNetOptions& network, std::uint64_t network_seed = 1) const {
    return std::make_unique<Trainer>(make_network(network, network_seed), data(), options_, Device{},
                                     workers_);
  }
  const TrainingData& data() const {
    if (!data_) data_ = std::make_unique<TrainingData>(data_options_);
    return *data_;
  }
  static std::vector<double> losses(Trainer& trainer, int steps) {
    std::vector<double> found;
    for (int i = 0; i < steps; ++i)
      found.push_back(trainer.step(StopWish::none).loss);
    return found;
  }
  static Checkpoint state_of(const Trainer& trainer) {
    Checkpoint checkpoint;
    trainer.store(checkpoint);
    return checkpoint;
  }
  static void expect_same_state(const Checkpoint& a, const Checkpoint& b) {
    ASSERT_GT(a.arrays.size(), 10U);
    ASSERT_EQ(a.arrays.size(), b.arrays.size());
    for (const auto& [path, array] : a.arrays)
      EXPECT_EQ(array.bytes, b.arrays.at(path).bytes) << path;
    EXPECT_EQ(a.counters, b.counters);
    EXPECT_EQ(a.numbers, b.numbers);
  }

  TemporaryFolder folder_;
  TrainingDataOptions data_options_;
  TrainerOptions options_;
  Communicator workers_ = Communicator::alone();
  mutable std::unique_ptr<TrainingData> data_;
};

}  // namespace tessera::testing
