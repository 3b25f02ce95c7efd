#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tessera {

/// A table of text for a terminal: the first column left-aligned, the others right-aligned. Where the columns
/// need more than `width` characters, it becomes several tables, one below the other, each with the first
/// column.
class TextTable {
 public:
  /// Of the widest line.
  static constexpr std::size_t kWidth = 100;

  explicit TextTable(std::vector<std::string> headings, std::size_t width = kWidth)
      : headings_(std::move(headings)), width_(width) {}

  /// One cell for each column. `mark`: a word after the row, such as "worst"; "" for none.
  void add(const std::vector<std::string>& cells, const std::string& mark = {});
  /// Every line ends with a line feed.
  std::string text() const;

 private:
  std::vector<std::string> headings_;
  std::size_t width_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::string> marks_;
};

}  // namespace tessera
