#include "workers/mpi/cuda_aware.h"

#include <gmock/gmock.h>

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

// Debian's Open MPI has no CUDA; with one that has, nothing is thrown.
TEST(CudaAwareMpi, IsRefusedInWordsWhereItIsNot) {
  try {
    require_cuda_aware_mpi();
    GTEST_SKIP() << "this MPI takes CUDA memory";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("train.cuda_aware_mpi: false"));
  }
}

}  // namespace
}  // namespace tessera
