// Training on a device: the CPU's losses, bfloat16 close to float32, and equal bits when reproducible.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "on_device.h"
#include "tests/unit/temporary_folder.h"
#include "tests/unit/workers/device/operator_recorder.h"
#include "tests/unit/workers/samples/training_volumes.h"
#include "workers/device/cuda_runtime.h"
#include "workers/device/torch_types.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"

namespace tessera {
namespace {

class Training : public testing::OnDevice {
 protected:
  /// Bright discs, class 1, on a dark background.
  Training() {
    constexpr Index3 shape{2, 150, 160};
    const auto disc = [](const Index3& p) {
      return std::hypot(p.y % 50 - 25, p.x % 40 - 20) < 12 + static_cast<double>(p.z);
    };
    data_options_.raw =
        testing::write_volume(folder_ / "em.h5", "raw", VoxelType::uint8, shape, [&](const Index3& p) {
          return static_cast<double>((disc(p) ? 160 : 90) + (p.y * 7 + p.x * 13) % 50);
        });
    data_options_.labels = testing::write_volume(folder_ / "em.h5", "labels", VoxelType::uint8, shape,
                                                 [&](const Index3& p) { return disc(p) ? 1.0 : 0.0; });
    data_options_.sections = {0, 2};
    data_options_.weight_map.w0 = 10;
    options_.samples.augmentation.elastic = 3;
    options_.global_batch = 2;
    options_.optimizer.learning_rate = 1e-3;
    options_.optimizer.momentum = 0.9;
  }

  /// Dropout uses the device's random generator. Without it, devices can be compared.
  UNetOptions network(bool same) const {
    UNetOptions options = same ? keras_same_options() : unet2015_options();
    options.base_filters = is_cuda() ? 16 : 2;
    options.depth = is_cuda() ? 4 : 2;
    options.dropout = 0;
    return options;
  }
  std::int64_t tile_side(const UNetOptions& network) const {
    return geometry_of(network).input_side_for(is_cuda() ? 96 : 16);
  }

  struct Run {
    std::vector<double> losses;
    Checkpoint end;
  };
  Run train(const UNetOptions& network, const TrainerOptions& options, const Device& on, int iterations) {
    TrainerOptions with = options;
    with.samples.tile_side = tile_side(network);
    if (!data_) data_ = std::make_unique<TrainingData>(data_options_);
    Trainer trainer(make_network(network, 3), *data_, with, on, workers_);
    Run run;
    for (int i = 0; i < iterations; ++i)
      run.losses.push_back(trainer.step(StopWish::none).loss);
    trainer.store(run.end);
    engine_ = trainer.engine_text();
    return run;
  }

  testing::TemporaryFolder folder_;
  TrainingDataOptions data_options_;
  TrainerOptions options_;
  Communicator workers_ = Communicator::alone();
  std::unique_ptr<TrainingData> data_;
  std::string engine_;
};

/// The largest relative difference.
double apart(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::isfinite(a[i]) ? std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i])) : 1e30;
  return worst;
}

TEST_P(Training, LossesAreThoseOfTheCpu) {
  for (const bool same : {false, true}) {
    at::set_num_threads(1);
    const std::vector<double> expected = train(network(same), options_, Device{}, 10).losses;
    at::set_num_threads(2);  // on the CPU this test compares two threads with one
    const std::vector<double> found = train(network(same), options_, device(), 10).losses;
    EXPECT_GT(std::abs(expected.front() - expected.back()), 1e-3) << "it must learn";
    say(fmt::format("10 losses against the CPU's, {}, {}: {:.2e} apart", same ? "keras_same" : "unet2015",
                    engine_, apart(found, expected)));
    EXPECT_LE(apart(found, expected), 1e-3);
  }
}

TEST_P(Training, BFloat16StaysNearFloat32) {
  for (const bool same : {false, true}) {
    const std::vector<double> expected = train(network(same), options_, device(), 10).losses;
    TrainerOptions half = options_;
    half.precision = Precision::bfloat16;
    const std::vector<double> found = train(network(same), half, device(), 10).losses;
    say(fmt::format("10 losses in bfloat16 against float32, {}, {}: {:.2e} apart",
                    same ? "keras_same" : "unet2015", engine_, apart(found, expected)));
    EXPECT_LE(apart(found, expected), 3e-2);
    EXPECT_NE(found, expected) << "it must compute in bfloat16";
  }
}

TEST_P(Training, ReproducibleIsTheSameBitsAgain) {
  TrainerOptions options = options_;
  options.reproducible = true;
  for (const bool same : {false, true}) {
    for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
      options.precision = precision;
      UNetOptions with_dropout = network(same);
      with_dropout.dropout = 0.3;
      const Run first = train(with_dropout, options, device(), 6),
                second = train(with_dropout, options, device(), 6);
      EXPECT_EQ(first.losses, second.losses) << engine_;
      ASSERT_GT(first.end.arrays.size(), 10U);
      int differing = 0;
      for (const auto& [path, array] : first.end.arrays)
        differing += array.bytes == second.end.arrays.at(path).bytes ? 0 : 1;
      EXPECT_EQ(differing, 0) << "of " << first.end.arrays.size() << " arrays, " << engine_;
    }
  }
}

TEST_P(Training, RecordedPassesAnswerTheSame) {
  const KernelRecorder record = is_cuda() ? cuda_recorder() : testing::operator_recorder();
  if (!record) GTEST_SKIP() << "built without CUDA's headers: kernels are started one by one";
  at::globalContext().setDeterministicCuDNN(
      false);  // an earlier test may have set it: nothing would be recorded
  choose_algorithms(device(), /*reproducible=*/false);
  UNetOptions with_dropout = network(false);
  with_dropout.dropout = 0.3;
  const at::Device on = torch_device(device());
  FlatParameters parameters(make_network(with_dropout, 3), on);
  const std::int64_t side = tile_side(with_dropout);
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    const auto plain = make_gpu_engine(parameters, precision),
               recorded = make_gpu_engine(parameters, precision, {.record = record});
    for (int iteration = 0; iteration < 5; ++iteration) {
      at::manual_seed(static_cast<std::uint64_t>(iteration));
      const at::Tensor input = at::randn({2, 1, side, side}).to(on);
      const std::vector<std::uint64_t> seeds = {2 * static_cast<std::uint64_t>(iteration), 7};
      at::Tensor output_gradient;
      const auto pass = [&](GradientEngine& engine) {
        engine.parameters_changed();
        parameters.sums().zero_();
        const at::Tensor logits = engine.forward(input, seeds);
        if (!output_gradient.defined()) output_gradient = at::randn(logits.sizes()).to(on);
        engine.backward(output_gradient, {});
        return std::pair(logits.clone(), parameters.gradient().clone());
      };
      const auto [right, gradient] = pass(*plain);
      const auto [found, found_gradient] = pass(*recorded);
      const auto apart = [](const at::Tensor& a, const at::Tensor& b) {
        return ((a - b).norm() / b.norm()).item<double>();
      };
      EXPECT_LE(apart(found, right), precision == Precision::float32 ? 1e-5 : 1e-2);
      EXPECT_LE(apart(found_gradient, gradient), precision == Precision::float32 ? 1e-4 : 3e-2);
      parameters.values().sub_(gradient / gradient.norm(), 0.1);
    }
    say(recorded->text());
    EXPECT_NE(recorded->text().find("recorded"), std::string::npos);
  }
}

TEST_P(Training, CustomKernelsHaveTheSameGradients) {
  const KernelLauncher launch = is_cuda() ? cuda_launcher() : KernelLauncher();
  if (!launch) GTEST_SKIP() << "no CUDA device, or built without CUDA's headers: no custom CUDA kernels";
  int started = 0;
  const KernelLauncher counted = [&](const KernelStart& start, std::span<void*> arguments) {
    ++started;
    launch(start, arguments);
  };
  const at::Device on = torch_device(device());
  for (const bool same : {false, true}) {
    // This engine does not support batch normalisation.
    UNetOptions with_dropout = network(false);
    if (same) with_dropout.padding = Padding::same;
    with_dropout.dropout = 0.3;
    FlatParameters parameters(make_network(with_dropout, 3), on);
    const std::int64_t side = geometry_of(with_dropout).input_side_for(96);
    at::manual_seed(1);
    const at::Tensor input = at::randn({2, 1, side, side}).to(on);
    at::Tensor output_gradient;
    const auto pass = [&](GradientEngine& engine) {
      parameters.sums().zero_();
      const std::vector<std::uint64_t> seeds = {3, 7};
      const at::Tensor logits = engine.forward(input, seeds);
      if (!output_gradient.defined()) output_gradient = at::randn(logits.sizes()).to(on);
      engine.backward(output_gradient, {});
      return std::pair(logits.clone(), parameters.gradient().clone());
    };
    const auto exact = make_gpu_engine(parameters, Precision::float32),
               plain = make_gpu_engine(parameters, Precision::bfloat16),
               own = make_gpu_engine(parameters, Precision::bfloat16,
                                     {.launch = counted, .kernels = GpuKernels{.own = true}});
    const auto [right, right_gradient] = pass(*exact);
    const auto [rounded, rounded_gradient] = pass(*plain);
    const auto [found, found_gradient] = pass(*own);
    const auto apart = [](const at::Tensor& a, const at::Tensor& b) {
      return ((a - b).norm() / b.norm()).item<double>();
    };
    const double logits = apart(found, right), gradient = apart(found_gradient, right_gradient);
    say(fmt::format("{}: logits {:.2e}, gradients {:.2e} from float32, {:.2e} from LibTorch's kernels",
                    own->text(), logits, gradient, apart(found_gradient, rounded_gradient)));
    // Rounding changes the sign at some ReLUs. The limit is the difference between float32 and LibTorch's
    // bfloat16.
    EXPECT_LE(logits, 1.5 * apart(rounded, right));
    EXPECT_LE(gradient, 1.5 * apart(rounded_gradient, right_gradient));
  }
  EXPECT_GE(started, 2 * (2 * 4 + 1)) << "pooling, joining and the first convolution";
}

TEST_P(Training, AdamAndAllTheRestRunThere) {
  TrainerOptions options = options_;
  options.optimizer.kind = OptimizerOptions::Kind::adamw;
  options.optimizer.weight_decay = 0.01;
  options.dice_weight = 0.5;
  options.clip_norm = 0.5;
  options.average_decay = 0.9;
  options.precision = Precision::bfloat16;
  options.optimizer.learning_rate = 1e-2;
  UNetOptions with_dropout = network(false);
  with_dropout.base_filters = 8;
  with_dropout.dropout = 0.1;
  const std::vector<double> losses = train(with_dropout, options, device(), 60).losses;
  double begin = 0, end = 0;
  for (std::size_t i = 0; i < 5; ++i)
    begin += losses[i] / 5, end += losses[losses.size() - 1 - i] / 5;
  say(fmt::format("60 iterations of AdamW: the loss from {:.3f} to {:.3f}", begin, end));
  EXPECT_LT(end, 0.9 * begin);
}

TESSERA_ON_EVERY_DEVICE(Training);

}  // namespace
}  // namespace tessera
