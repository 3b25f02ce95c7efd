#include "io/base/split_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace tessera {
namespace {

using ::testing::ElementsAre;

TEST(SplitText, KeepsEveryPart) {
  EXPECT_THAT(split_text("a,bc,d", ','), ElementsAre("a", "bc", "d"));
  EXPECT_THAT(split_text("a,,d", ','), ElementsAre("a", "", "d"));
  EXPECT_THAT(split_text(",a,", ','), ElementsAre("", "a"));
  EXPECT_THAT(split_text("", ','), ElementsAre());
  EXPECT_THAT(split_text("\n", '\n'), ElementsAre(""));
}

TEST(SplitText, EqualsGetline) {
  for (const std::string text : {"", "a", "a\n", "a\n\n", "\n\na\nb", "a\r\nb\r\n", "one line"}) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
      lines.push_back(line);
    EXPECT_EQ(split_text(text, '\n'), lines) << text;
  }
}

}  // namespace
}  // namespace tessera
