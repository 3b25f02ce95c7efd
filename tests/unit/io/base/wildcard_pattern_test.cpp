#include "io/base/wildcard_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

std::optional<std::vector<std::string>> match(const std::string& pattern, const std::string& text) {
  return WildcardPattern(pattern).match(text);
}

TEST(WildcardPattern, TellsTheTextOfEachWildcard) {
  EXPECT_THAT(match("raw_*_z?.h5", "raw_a_b_z7.h5"), Optional(ElementsAre("a_b", "7")));
  EXPECT_THAT(match("[ab]*", "bcd"), Optional(ElementsAre("b", "cd")));
  EXPECT_THAT(match("plain", "plain"), Optional(IsEmpty()));
  EXPECT_THAT(match("\\*", "*"), Optional(IsEmpty()));
  EXPECT_THAT(match("*", ""), Optional(ElementsAre("")));
  EXPECT_THAT(match("", ""), Optional(IsEmpty()));
  EXPECT_EQ(match("", "a"), std::nullopt);
  EXPECT_EQ(match("a*a", "a"), std::nullopt);  // one character cannot be both
  EXPECT_EQ(match("a?", "a"), std::nullopt);
  EXPECT_EQ(match("*a?b", "ab"), std::nullopt);
}

TEST(WildcardPattern, AnEarlierStarTakesAsLittleAsItCan) {
  EXPECT_THAT(match("**", "ab"), Optional(ElementsAre("", "ab")));
  EXPECT_THAT(match("*a*", "babab"), Optional(ElementsAre("b", "bab")));
  EXPECT_THAT(match("*a*b", "xabab"), Optional(ElementsAre("x", "ba")));
}

/// The definition: tries every length of every star, the shortest first.
bool matches_by_search(const std::string& pattern, std::size_t p, const std::string& text, std::size_t at,
                       std::vector<std::string>& texts) {
  if (p == pattern.size()) return at == text.size();
  if (pattern[p] == '*') {
    for (std::size_t end = at; end <= text.size(); ++end) {
      texts.push_back(text.substr(at, end - at));
      if (matches_by_search(pattern, p + 1, text, end, texts)) return true;
      texts.pop_back();
    }
    return false;
  }
  if (at == text.size() || (pattern[p] != '?' && pattern[p] != text[at])) return false;
  if (pattern[p] == '?') texts.push_back(text.substr(at, 1));
  if (matches_by_search(pattern, p + 1, text, at + 1, texts)) return true;
  if (pattern[p] == '?') texts.pop_back();
  return false;
}

TEST(WildcardPattern, EqualsTheSearchOfEveryLength) {
  std::mt19937 random(3);
  const auto any = [&](const std::string& letters, std::size_t longest) {
    std::string text(random() % (longest + 1), ' ');
    for (char& c : text)
      c = letters[random() % letters.size()];
    return text;
  };
  int matched = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string pattern = any("ab*?*", 7), text = any("ab", 8);
    std::vector<std::string> expected;
    const bool matches = matches_by_search(pattern, 0, text, 0, expected);
    const auto found = match(pattern, text);
    ASSERT_EQ(found.has_value(), matches) << pattern << " of " << text;
    if (matches) {
      ASSERT_EQ(*found, expected) << pattern << " of " << text;
    }
    matched += matches ? 1 : 0;
  }
  EXPECT_GT(matched, 2'000);
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i)
    all += text;
  return all;
}

/// A search of every length of every star took 1.25 s for 4 stars, and about 50 times as long for each more.
TEST(WildcardPattern, ManyStarsTakePolynomialTime) {
  const std::string name(200, 'a');
  EXPECT_EQ(match(repeated("*a", 20) + "b", name), std::nullopt);
  EXPECT_EQ(match(repeated("*", 20) + "b", name), std::nullopt);
  EXPECT_EQ(match(repeated("*?", 20) + "b", name), std::nullopt);
  EXPECT_EQ(match(repeated("*[a-c]", 20) + "b*", name), std::nullopt);
  EXPECT_EQ(match(repeated("a*", 20) + "b" + repeated("*a", 20), name), std::nullopt);
  EXPECT_EQ(match(repeated("*aaaa", 20) + "*b*", name), std::nullopt);
  const auto found = match(repeated("*a", 20), name);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->size(), 20U);
  EXPECT_EQ(found->back(), std::string(180, 'a'));
}

}  // namespace
}  // namespace tessera
