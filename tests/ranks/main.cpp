#include <gtest/gtest.h>

#include "ranks.h"
#include "workers/mpi/mpi_session.h"

namespace tessera::testing {

const Communicator* world_of_tests = nullptr;

}  // namespace tessera::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  tessera::MpiSession mpi(argc, argv);
  const tessera::Communicator world = mpi.world();
  tessera::testing::world_of_tests = &world;
  if (!world.is_root()) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new tessera::testing::FailurePrinter(world.rank()));
  }
  const int mine = RUN_ALL_TESTS();
  const bool failed = world.any(mine != 0);
  if (world.is_root() && failed && mine == 0) std::puts("another rank failed");
  return failed ? 1 : 0;
}
