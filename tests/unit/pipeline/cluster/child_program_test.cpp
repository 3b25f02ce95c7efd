#include "pipeline/cluster/child_program.h"

#include <gtest/gtest.h>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

TEST(ChildProgram, ReturnsExitCodeAndOutput) {
  const ProgramEnd end = run_program({"sh", "-c", "echo out; echo err >&2; exit 3"}, 10);
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.output, "out\n");
  EXPECT_EQ(end.errors, "err\n");
  EXPECT_EQ(run_program({"sh", "-c", "kill -9 $$"}, 10).exit_code, 137);
}

TEST(ChildProgram, PassesArgumentsUnchanged) {
  const ProgramEnd end = run_program({"printf", "%s|", "a b", "$(echo x)", "'\"", "*"}, 10);
  EXPECT_EQ(end.output, "a b|$(echo x)|'\"|*|");
}

TEST(ChildProgram, SetsTheEnvironmentAndHasNoInput) {
  const ProgramEnd end = run_program({"sh", "-c", "cat; printf %s \"$TESSERA_CHILD:$HOME\""}, 10,
                                     {{"TESSERA_CHILD", "a=b"}, {"HOME", "h"}});
  EXPECT_EQ(end.output, "a=b:h");
}

TEST(ChildProgram, ReadsLargeOutputFromBothPipes) {
  const ProgramEnd end =
      run_program({"sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"}, 20);
  EXPECT_EQ(end.output.size(), 1000000U);
  EXPECT_EQ(end.errors.size(), 1000000U);
}

TEST(ChildProgram, IsKilledAfterItsTimeLimit) {
  const double begin = seconds_now();
  EXPECT_NE(testing::message_of([] {
              run_program({"sleep", "60"}, 0.2);
            }).find("sleep gave no answer within 0 s"),
            std::string::npos);
  EXPECT_LT(seconds_now() - begin, 20);
}

TEST(ChildProgram, ReportsAMissingProgram) {
  EXPECT_NE(testing::message_of([] {
              run_program({"tessera-no-such-program"}, 10);
            }).find("cannot start tessera-no-such-program: No such file"),
            std::string::npos);
  EXPECT_FALSE(program_exists("tessera-no-such-program"));
  EXPECT_TRUE(program_exists("sh"));
}

}  // namespace
}  // namespace tessera
