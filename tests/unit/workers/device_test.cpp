#include "workers/device.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace tessera {
namespace {

// The switches are there without CUDA, too.
TEST(ChooseAlgorithms, SetsWhatCudaIsToDo) {
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

}  // namespace
}  // namespace tessera
