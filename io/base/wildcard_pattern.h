#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A text with the wildcards of the shell: `*` (any text without '/'), `?` (one character except '/'),
/// `[a-f]`, `[!a-f]`, `[[:digit:]]` (one character of a set; POSIX). After a backslash, a character stands
/// for itself.
class WildcardPattern {
 public:
  explicit WildcardPattern(const std::string& pattern);

  bool has_wildcards() const { return !wildcards().empty(); }
  /// The wildcards as the pattern has them, in order.
  std::vector<std::string> wildcards() const;
  /// Whether every matching text begins with '.'.
  bool begins_with_dot() const;

  /// The text that each wildcard stands for in `text`, which must not contain '/'; nothing when `text` does
  /// not match. Each `*`, from the first to the last, takes as few characters as it can.
  /// Time: at most the product of the two lengths.
  std::optional<std::vector<std::string>> match(const std::string& text) const;

  /// The pattern with its wildcards replaced by `texts`, one for each, and without backslashes.
  std::string filled(std::span<const std::string> texts) const;

 private:
  /// One character of the text, or one wildcard.
  struct Token {
    bool is_wildcard = false;
    std::string text;

    bool is_star() const { return is_wildcard && text == "*"; }
    bool matches(char c) const;
  };
  using Tokens = std::span<const Token>;

  static bool match_at(Tokens tokens, const std::string& text, std::size_t at);
  static void add_texts(Tokens tokens, const std::string& text, std::size_t at,
                        std::vector<std::string>& texts);

  std::vector<Token> tokens_;
};

}  // namespace tessera
