#include "workers/device/device.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace tessera {
namespace {

// The settings exist without CUDA, too.
TEST(ChooseAlgorithms, SetsCudasAlgorithms) {
  at::Context& context = at::globalContext();
  const bool deterministic = context.deterministicCuDNN(), benchmark = context.benchmarkCuDNN();
  choose_algorithms({.cuda = false}, true);
  EXPECT_EQ(context.deterministicCuDNN(), deterministic) << "nothing on the CPU";
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
  for (const bool found_by_trying : {true, false}) {
    context.setDeterministicCuDNN(!found_by_trying);
    context.setBenchmarkCuDNN(found_by_trying);
    {
      const HeuristicAlgorithms by_rule(Device{.cuda = true});
      EXPECT_TRUE(context.deterministicCuDNN());
      EXPECT_FALSE(context.benchmarkCuDNN());
      EXPECT_EQ(std::getenv("CUBLAS_WORKSPACE_CONFIG"), nullptr) << "LibTorch reads it at every product";
    }
    EXPECT_EQ(context.deterministicCuDNN(), !found_by_trying);
    EXPECT_EQ(context.benchmarkCuDNN(), found_by_trying);
    const HeuristicAlgorithms nothing(Device{});
    EXPECT_EQ(context.benchmarkCuDNN(), found_by_trying) << "on the CPU";
  }
  context.setDeterministicCuDNN(deterministic);
  context.setBenchmarkCuDNN(benchmark);
}

}  // namespace
}  // namespace tessera
