#include "pipeline/run/next_step.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace tessera {
namespace {

TEST(NextStep, NamesTheCommandWithItsRanks) {
  EXPECT_EQ(command_text({"infer", "my.yaml"}), "tessera infer my.yaml");
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  EXPECT_EQ(command_text({"infer", "my.yaml"}, 3), "tessera infer my.yaml") << "not started by mpirun";
  ::setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
  EXPECT_EQ(command_text({"infer", "my.yaml"}, 3), "mpirun -n 3 tessera infer my.yaml");
  EXPECT_EQ(command_text({"infer", "my.yaml"}, 1), "tessera infer my.yaml");
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
}

TEST(NextStep, QuotesForAShell) {
  EXPECT_EQ(command_text({"report", "my run/it's.json", ""}), "tessera report 'my run/it'\\''s.json' ''");
}

TEST(NextStep, IsLeftOutWhereItFollowsByItself) {
  const auto told = [] {
    ::testing::internal::CaptureStdout();
    tell_next("tessera infer my.yaml");
    return ::testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(told(), "next: tessera infer my.yaml\n");
  ::setenv("TESSERA_END_FILE", "end", 1);
  EXPECT_EQ(told(), "");
  ::unsetenv("TESSERA_END_FILE");
  ::setenv("TESSERA_NEXT", "0", 1);
  EXPECT_EQ(told(), "");
  ::unsetenv("TESSERA_NEXT");
}

}  // namespace
}  // namespace tessera
