#include "pipeline/run/wrapped_text.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(WrappedText, BreaksAtSpaces) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(wrapped_lines("one two three", 7, 7), (Lines{"one two", "three"}));
  EXPECT_EQ(wrapped_lines("one two three", 20, 3), (Lines{"one", "two three"}));
  EXPECT_EQ(wrapped_lines("a verylongword b", 5, 5), (Lines{"a", "verylongword", "b"}));
  EXPECT_EQ(wrapped_lines("", 5, 5), (Lines{""}));
  EXPECT_EQ(wrapped("one two three", 9, 2), "  one two\n  three\n");
}

}  // namespace
}  // namespace tessera
