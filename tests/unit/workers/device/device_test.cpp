#include "workers/device/device.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace tessera {
namespace {

// The settings also exist without CUDA.
TEST(ChooseAlgorithms, SetsCudasAlgorithms) {
  at::Context& context = at::globalContext();
  const bool deterministic = context.deterministicCuDNN(), benchmark = context.benchmarkCuDNN();
  choose_algorithms({.cuda = false}, true);
  EXPECT_EQ(context.deterministicCuDNN(), deterministic) << "no effect on the CPU";
  for (const bool reproducible : {false, true}) {
    choose_algorithms({.cuda = true}, reproducible);
    EXPECT_EQ(context.deterministicCuDNN(), reproducible);
    EXPECT_EQ(context.benchmarkCuDNN(), !reproducible);
  }
  EXPECT_NE(std::getenv("CUBLAS_WORKSPACE_CONFIG"), nullptr);
  context.setDeterministicCuDNN(deterministic);
  context.setBenchmarkCuDNN(benchmark);
}

TEST(HeuristicAlgorithms, RestoreTheSettings) {
  auto& context = at::globalContext();
  const bool deterministic = context.deterministicCuDNN(), benchmark = context.benchmarkCuDNN();
  unsetenv("CUBLAS_WORKSPACE_CONFIG");
  for (const bool autotuned : {true, false}) {
    context.setDeterministicCuDNN(!autotuned);
    context.setBenchmarkCuDNN(autotuned);
    {
      const HeuristicAlgorithms heuristic(Device{.cuda = true});
      EXPECT_TRUE(context.deterministicCuDNN());
      EXPECT_FALSE(context.benchmarkCuDNN());
      EXPECT_EQ(std::getenv("CUBLAS_WORKSPACE_CONFIG"), nullptr)
          << "LibTorch reads it at every matrix product";
    }
    EXPECT_EQ(context.deterministicCuDNN(), !autotuned);
    EXPECT_EQ(context.benchmarkCuDNN(), autotuned);
    const HeuristicAlgorithms nothing(Device{});
    EXPECT_EQ(context.benchmarkCuDNN(), autotuned) << "no effect on the CPU";
  }
  context.setDeterministicCuDNN(deterministic);
  context.setBenchmarkCuDNN(benchmark);
}

}  // namespace
}  // namespace tessera
