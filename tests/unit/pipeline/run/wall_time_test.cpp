#include "pipeline/run/wall_time.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

/// Sets TESSERA_DEADLINE during its lifetime.
class Deadline {
 public:
  explicit Deadline(const std::string& text) { setenv("TESSERA_DEADLINE", text.c_str(), 1); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { unsetenv("TESSERA_DEADLINE"); }
};

TEST(WallTime, HasNoLimitWithoutADeadline) {
  EXPECT_TRUE(WallTime().allows(1e12));
  const Deadline empty("");
  EXPECT_TRUE(WallTime().allows(1e12));
}

TEST(WallTime, AllowsWorkThatFitsWithAHalfMargin) {
  EXPECT_TRUE(WallTime(100).allows(60));
  EXPECT_FALSE(WallTime(100).allows(70));
  EXPECT_FALSE(WallTime(-1).allows(0));
  const Deadline soon(std::to_string(std::time(nullptr) + 100));
  EXPECT_TRUE(WallTime().allows(60));
  EXPECT_FALSE(WallTime().allows(70));
}

TEST(WallTime, RejectsInvalidTimes) {
  const Deadline text("tomorrow");
  EXPECT_NE(
      testing::message_of([] { WallTime(); }).find("TESSERA_DEADLINE is 'tomorrow': seconds since 1970"),
      std::string::npos);
}

}  // namespace
}  // namespace tessera
