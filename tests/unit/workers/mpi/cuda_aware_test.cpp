#include "workers/mpi/cuda_aware.h"

#include <gmock/gmock.h>
#include <mpi.h>
#ifdef OPEN_MPI
#include <mpi-ext.h>
#endif

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

/// Found without the code under test.
constexpr bool kBuiltWithCuda =
#if defined(MPIX_CUDA_AWARE_SUPPORT) && MPIX_CUDA_AWARE_SUPPORT
    true;
#else
    false;
#endif

// Debian's Open MPI has no CUDA.
TEST(CudaAwareMpi, IsRejectedWithAMessageWhereItIsMissing) {
  if (kBuiltWithCuda) GTEST_SKIP() << "this MPI takes CUDA memory";
  EXPECT_THAT(testing::message_of([] { require_cuda_aware_mpi(); }),
              ::testing::HasSubstr("train.cuda_aware_mpi: false"));
}

}  // namespace
}  // namespace tessera
