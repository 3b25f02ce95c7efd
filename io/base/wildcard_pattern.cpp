#include "io/base/wildcard_pattern.h"

#include <fnmatch.h>

#include <algorithm>
#include <cassert>

namespace tessera {
namespace {

/// The position behind the bracket expression that begins at `at`; `at` when no expression begins there.
std::size_t bracket_end(const std::string& pattern, std::size_t at) {
  std::size_t i = at + 1;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) ++i;
  for (const std::size_t first = i; i < pattern.size() && pattern[i] != '/'; ++i) {
    if (pattern[i] == ']' && i > first) return i + 1;  // as the first character, ']' stands for itself
    if (pattern[i] == '[' && i + 1 < pattern.size() &&
        std::string(":.=").find(pattern[i + 1]) != std::string::npos) {
      const std::size_t end = pattern.find(std::string{pattern[i + 1], ']'}, i + 2);
      if (end != std::string::npos) i = end + 1;
    }
  }
  return at;
}

}  // namespace

WildcardPattern::WildcardPattern(const std::string& pattern) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const std::size_t end = c == '[' ? bracket_end(pattern, i) : i;
    if (c == '\\' && i + 1 < pattern.size()) {
      tokens_.push_back({false, std::string(1, pattern[++i])});
    } else if (end != i) {
      tokens_.push_back({true, pattern.substr(i, end - i)});
      i = end - 1;
    } else {
      tokens_.push_back({c == '*' || c == '?', std::string(1, c)});
    }
  }
}

std::vector<std::string> WildcardPattern::wildcards() const {
  std::vector<std::string> found;
  for (const Token& token : tokens_) {
    if (token.is_wildcard) found.push_back(token.text);
  }
  return found;
}

bool WildcardPattern::begins_with_dot() const {
  return !tokens_.empty() && !tokens_.front().is_wildcard && tokens_.front().text == ".";
}

bool WildcardPattern::Token::matches(char c) const {
  const std::string one(1, c);
  return is_wildcard ? fnmatch(text.c_str(), one.c_str(), 0) == 0 : text == one;
}

/// Whether `tokens`, which have no star, match the characters of `text` from `at` on.
bool WildcardPattern::match_at(Tokens tokens, const std::string& text, std::size_t at) {
  if (text.size() - at < tokens.size()) return false;
  return std::equal(tokens.begin(), tokens.end(), text.begin() + static_cast<std::ptrdiff_t>(at),
                    [](const Token& token, char c) { return token.matches(c); });
}

void WildcardPattern::add_texts(Tokens tokens, const std::string& text, std::size_t at,
                                std::vector<std::string>& texts) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].is_wildcard) texts.emplace_back(1, text[at + i]);
  }
}

std::optional<std::vector<std::string>> WildcardPattern::match(const std::string& text) const {
  // Between two stars is a run of tokens that match one character each. A run takes the first place where it
  // matches: if a later place leads to a match of the whole pattern, so does the first. No place is tried
  // again.
  std::vector<std::string> texts;
  const Tokens all(tokens_);
  const auto run_length = [&](std::size_t begin) {
    std::size_t end = begin;
    while (end < all.size() && !all[end].is_star())
      ++end;
    return end - begin;
  };
  std::size_t length = run_length(0), token = length, at = length;
  if (!match_at(all.first(length), text, 0)) return std::nullopt;
  add_texts(all.first(length), text, 0, texts);
  while (token < all.size()) {  // at a star
    const std::size_t begin = at;
    length = run_length(++token);
    const Tokens run = all.subspan(token, length);
    token += length;
    if (token == all.size()) {  // the last run: at the end of the text
      if (text.size() - begin < length) return std::nullopt;
      at = text.size() - length;
      if (!match_at(run, text, at)) return std::nullopt;
    } else {
      while (!match_at(run, text, at)) {
        if (++at > text.size()) return std::nullopt;
      }
    }
    texts.push_back(text.substr(begin, at - begin));
    add_texts(run, text, at, texts);
    at += length;
  }
  if (at != text.size()) return std::nullopt;
  return texts;
}

std::string WildcardPattern::filled(std::span<const std::string> texts) const {
  std::string text;
  std::size_t next = 0;
  for (const Token& token : tokens_) {
    assert(!token.is_wildcard || next < texts.size());
    text += token.is_wildcard ? texts[next++] : token.text;
  }
  return text;
}

}  // namespace tessera
