#include "pipeline/run/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

namespace tessera {
namespace {

constexpr std::size_t kColumnGap = 2;
constexpr const char* kMarkSign = "  <- ";

std::string without_trailing_spaces(std::string line) {
  line.resize(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

void TextTable::add(const std::vector<std::string>& cells, const std::string& mark) {
  assert(cells.size() == headings_.size());
  rows_.push_back(cells);
  marks_.push_back(mark);
}

std::string TextTable::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < headings_.size(); ++column) {
    widths.push_back(headings_[column].size());
    for (const auto& row : rows_)
      widths.back() = std::max(widths.back(), row[column].size());
  }
  std::size_t mark_width = 0;
  for (const std::string& mark : marks_)
    mark_width = std::max(mark_width, mark.empty() ? 0 : std::string_view(kMarkSign).size() + mark.size());
  std::string text;
  for (std::size_t begin = 1, end = 1; begin < headings_.size(); begin = end) {
    std::size_t used = widths[0] + mark_width;
    for (; end < headings_.size() && (end == begin || used + kColumnGap + widths[end] <= width_); ++end)
      used += kColumnGap + widths[end];
    const auto line = [&](const std::vector<std::string>& cells, const std::string& mark) {
      std::string one = fmt::format("{:<{}}", cells[0], widths[0]);
      for (std::size_t column = begin; column < end; ++column)
        one += fmt::format("{:>{}}", cells[column], widths[column] + kColumnGap);
      if (!mark.empty()) one += kMarkSign + mark;
      text += without_trailing_spaces(one) + "\n";
    };
    if (!text.empty()) text += "\n";
    line(headings_, "");
    for (std::size_t row = 0; row < rows_.size(); ++row)
      line(rows_[row], marks_[row]);
  }
  return text;
}

}  // namespace tessera
