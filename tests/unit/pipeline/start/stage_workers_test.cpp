#include "pipeline/start/stage_workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(StageWorkers, AreAsManyAsMachineAndStageAllow) {
  const Machine machine{8, 0, 100};
  EXPECT_EQ(workers_for({64, 0}, machine, std::nullopt), 8) << "cores";
  EXPECT_EQ(workers_for({2, 0}, machine, std::nullopt), 2) << "samples of a batch";
  EXPECT_EQ(workers_for({64, 20}, machine, std::nullopt), 4) << "memory";
  EXPECT_EQ(workers_for({64, 200}, machine, std::nullopt), 1);
  EXPECT_EQ(workers_for({64, 20}, machine, 6), 6) << "as wanted";
  EXPECT_EQ(workers_for({2, 20}, machine, 6), 2);
  EXPECT_EQ(workers_for({64, 0}, Machine{8, 2, 100}, std::nullopt), 2) << "GPUs";
  EXPECT_EQ(workers_for({64, 0, false}, Machine{8, 2, 100}, std::nullopt), 8) << "scores need no GPU";
}

TEST(StageWorkers, OneIsAPlainProcess) {
  const StageLauncher launcher{"/bin/true", "/bin/true", {"my.yaml"}};
  EXPECT_THAT(launcher.command(Stage::infer, 1, {"--restart"}),
              ElementsAre("/bin/true", "infer", "my.yaml", "--restart"));
  const auto trained = launcher.command(Stage::train, 2, {});
  EXPECT_EQ(trained[2], "3") << "a coordinator and two workers";
  EXPECT_THAT(trained, Contains("--oversubscribe"));
  EXPECT_THAT(trained, Contains("--quiet"));
  EXPECT_EQ(launcher.command(Stage::segment, 2, {})[2], "3") << "a coordinator and two workers";
  EXPECT_EQ(launcher.command(Stage::evaluate, 2, {})[2], "2");
  const StageLauncher none{"/bin/true", "/nowhere/mpirun", {"my.yaml"}};
  EXPECT_THAT(tessera::testing::message_of([&] { none.command(Stage::train, 2, {}); }),
              AllOf(HasSubstr("/nowhere/mpirun"), HasSubstr("--workers 1")));
  EXPECT_EQ(none.command(Stage::train, 1, {}).size(), 3U);
}

}  // namespace
}  // namespace tessera
