#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// The columns of a metrics.csv: numbers under names.
struct MetricsTable {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;  ///< as long as `columns`; NaN where a field is empty
  std::int64_t unreadable = 0;            ///< rows left out: cut short, or with a field that is no number

  /// NaN throughout where there is no such column.
  std::vector<double> column(const std::string& name) const;
  bool has(const std::string& name) const;
};

/// The first line names the columns. A row that a kill cut short, and any other that does not fit, is counted
/// and left out.
MetricsTable read_metrics(const std::string& csv);

}  // namespace tessera
