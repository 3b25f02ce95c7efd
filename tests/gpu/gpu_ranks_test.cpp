// Two workers with one device each train as one worker does. Run under mpirun; tests/ranks/main.cpp reduces
// the verdict.
#include <ATen/Parallel.h>
#include <torch/cuda.h>

#include <cmath>

#include "on_device.h"
#include "tests/ranks/ranks.h"
#include "tests/unit/workers/samples/training_volumes.h"
#include "workers/mpi/agreement.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"

namespace tessera {
namespace {

using testing::world;

class WorkersOnDevices : public ::testing::TestWithParam<testing::DeviceKind> {};

TEST_P(WorkersOnDevices, TrainAsOneDoes) {
  const bool cuda = GetParam() == testing::DeviceKind::cuda;
  const auto devices = static_cast<int>(torch::cuda::device_count());
  if (world().size() == 1) GTEST_SKIP() << "one worker has nothing to sum";
  if (cuda && devices < world().size()) {
    GTEST_SKIP() << devices << " CUDA devices for " << world().size() << " workers";
  }
  const Device device = choose_device(world(), true, cuda ? "cuda" : "cpu", 1);
  const testing::SharedFolder folder;
  constexpr Index3 shape{2, 150, 160};
  const auto disc = [](const Index3& p) { return std::hypot(p.y % 50 - 25, p.x % 40 - 20) < 12; };
  on_root(world(), [&] {
    testing::write_volume(folder / "v.h5", "raw", VoxelType::uint8, shape, [&](const Index3& p) {
      return static_cast<double>((disc(p) ? 160 : 90) + (p.y * 7 + p.x * 13) % 50);
    });
    testing::write_volume(folder / "v.h5", "labels", VoxelType::uint8, shape,
                          [&](const Index3& p) { return disc(p) ? 1.0 : 0.0; });
  });
  const TrainingData data({{folder / "v.h5", "/volumes/raw"}, {folder / "v.h5", "/volumes/labels"}, {0, 2}});
  UNetOptions network = unet2015_options();
  network.base_filters = cuda ? 16 : 2;
  network.depth = cuda ? 4 : 2;
  network.dropout = 0;
  TrainerOptions options;
  options.samples.tile_side = geometry_of(network).input_side_for(cuda ? 96 : 16);
  options.global_batch = 4;
  options.optimizer.learning_rate = 1e-3;
  const Communicator alone = Communicator::alone();
  Trainer together(make_network(network, 3), data, options, device, world());
  Trainer own(make_network(network, 3), data, options, device, alone);
  EXPECT_EQ(together.exchange_text(), cuda ? "NCCL, during the backward pass" : "MPI");
  int compared = 0;
  for (int i = 0; i < 10; ++i, ++compared) {
    const double a = together.step(StopWish::none).loss, b = own.step(StopWish::none).loss;
    EXPECT_NEAR(a, b, (cuda ? 1e-4 : 1e-5) * std::abs(b)) << "iteration " << i;
  }
  EXPECT_EQ(compared, 10);
}

TESSERA_ON_EVERY_DEVICE(WorkersOnDevices);

}  // namespace
}  // namespace tessera
