#include "io/base/process_id.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tessera {
namespace {

TEST(ProcessIdText, ComesBack) {
  const ProcessId mine = this_process();
  EXPECT_EQ(mine.pid, getpid());
  EXPECT_GT(mine.start, 0U);
  EXPECT_EQ(parse_process_id(text_of(mine)), mine);
  const ProcessId other{"node-7.cluster", 12, 34, 56};
  EXPECT_EQ(text_of(other), "node-7.cluster-12-34-56");
  EXPECT_EQ(parse_process_id("node-7.cluster-12-34-56"), other);
}

TEST(ProcessIdText, RejectsAllElse) {
  for (const char* wrong : {"", "-", "a", "a-1", "a-1-2", "-1-2-3", "a-1-2-x", "a-1-2-", "a-1--2-3",
                            "a b-1-2-3", "a-1-2-99999999999999999999", "a-1-2-3 "}) {
    EXPECT_EQ(parse_process_id(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(parse_process_id(std::string(64, 'h') + "-1-2-3"), std::nullopt);
}

TEST(ProcessState, OfThisProcessAndOfEndedOnes) {
  ProcessId mine = this_process();
  EXPECT_EQ(state_of(mine), ProcessState::running);
  ProcessId elsewhere = mine;
  elsewhere.host += "x";
  EXPECT_EQ(state_of(elsewhere), ProcessState::elsewhere);
  ProcessId container = mine;
  container.name_space += 1;
  EXPECT_EQ(state_of(container), ProcessState::elsewhere);
  ProcessId clone = mine;  // a node of the same name, which was started at another time
  clone.name_space ^= 0x1234;
  EXPECT_EQ(state_of(clone), ProcessState::elsewhere);
  EXPECT_NE(mine.name_space & 0xFFFFFFFF, 0U) << "of the kernel's start";
  mine.start += 1;
  EXPECT_EQ(state_of(mine), ProcessState::ended) << "its number was given to this process";

  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  ProcessId ended = this_process();
  ended.pid = child;
  EXPECT_EQ(state_of(ended), ProcessState::ended);
}

}  // namespace
}  // namespace tessera
