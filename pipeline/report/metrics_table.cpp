#include "pipeline/report/metrics_table.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

namespace tessera {
namespace {

std::vector<std::string_view> fields_of(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  std::vector<std::string_view> fields;
  for (std::size_t begin = 0;;) {
    const std::size_t end = line.find(',', begin);
    fields.push_back(line.substr(begin, end - begin));
    if (end == std::string_view::npos) return fields;
    begin = end + 1;
  }
}

std::optional<double> number_of(std::string_view field) {
  if (field.empty()) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc{} || end != field.data() + field.size()) return std::nullopt;
  return value;
}

}  // namespace

std::vector<double> MetricsTable::column(const std::string& name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  const auto at = static_cast<std::size_t>(found - columns.begin());
  std::vector<double> values;
  for (const auto& row : rows) {
    values.push_back(found == columns.end() ? std::numeric_limits<double>::quiet_NaN() : row[at]);
  }
  return values;
}

MetricsTable read_metrics(const std::string& csv) {
  MetricsTable table;
  std::string_view left = csv;
  const auto next_line = [&](bool& whole) {
    const std::size_t end = left.find('\n');
    whole = end != std::string_view::npos;
    const std::string_view line = left.substr(0, end);
    left.remove_prefix(whole ? end + 1 : left.size());
    return line;
  };
  bool whole = true;
  for (const std::string_view name : fields_of(next_line(whole)))
    table.columns.emplace_back(name);
  while (!left.empty()) {
    const std::string_view line = next_line(whole);
    if (line.empty() || line == "\r") continue;
    const std::vector<std::string_view> fields = fields_of(line);
    std::vector<double> row;
    for (const std::string_view field : fields) {
      const auto number = number_of(field);
      if (!number) break;
      row.push_back(*number);
    }
    // A last line without its end may have lost digits.
    if (whole && row.size() == table.columns.size() && fields.size() == row.size())
      table.rows.push_back(std::move(row));
    else
      ++table.unreadable;
  }
  return table;
}

}  // namespace tessera
