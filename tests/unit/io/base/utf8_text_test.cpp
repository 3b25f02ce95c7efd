#include "io/base/utf8_text.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tessera {
namespace {

TEST(Utf8Text, ValidTextsStayAsTheyAre) {
  for (const std::string text :
       {"", "plain", "a\nb", "m\u00fcller", "\u2013 \U0001F600", "C:\\x", "\\xzz", "\\x4"}) {
    EXPECT_EQ(utf8_text(text), text);
    EXPECT_EQ(bytes_of_utf8_text(text), text);
  }
}

TEST(Utf8Text, OtherBytesAreEscaped) {
  EXPECT_EQ(utf8_text("m\xFCller"), "m\\xFCller");
  EXPECT_EQ(utf8_text("\xC3"), "\\xC3") << "cut short";
  EXPECT_EQ(utf8_text("\xC0\xBC"), "\\xC0\\xBC") << "overlong";
  EXPECT_EQ(utf8_text("\xED\xA0\x80"), "\\xED\\xA0\\x80") << "a surrogate";
}

TEST(Utf8Text, NoTwoNamesGetTheSameText) {
  std::set<std::string> texts;
  for (const std::string bytes : {"m\xFCller", "m\\xFCller", "m\\x5CxFCller", "m\\\xFCller", "m\xF6ller"}) {
    const std::string text = utf8_text(bytes);
    EXPECT_TRUE(texts.insert(text).second) << text;
    EXPECT_EQ(bytes_of_utf8_text(text), bytes);
  }
}

TEST(Utf8Text, AnyBytesComeBack) {
  std::uint32_t state = 1;
  for (int i = 0; i < 3000; ++i) {
    std::string bytes;
    for (int k = 0; k < 12; ++k) {
      state = state * 1664525 + 1013904223;
      const auto one = static_cast<unsigned char>(state >> 24);
      bytes +=
          "\\x5C\xC3\xBC"[one % 6] != '\0' && one < 200 ? "\\x5C\xC3\xBC"[one % 6] : static_cast<char>(one);
    }
    const std::string text = utf8_text(bytes);
    ASSERT_EQ(bytes_of_utf8_text(text), bytes);
    for (std::string_view left = text; !left.empty(); left.remove_prefix(utf8_length(left)))
      ASSERT_GT(utf8_length(left), 0U);
  }
}

}  // namespace
}  // namespace tessera
