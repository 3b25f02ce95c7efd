#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// The numbers of a metrics.csv, by column.
struct MetricsTable {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;  ///< as long as `columns`; NaN where a field is empty
  std::int64_t unreadable = 0;            ///< rows left out: incomplete, or with a field that is not a number

  /// All NaN when the table lacks the column.
  std::vector<double> column(const std::string& name) const;
};

/// The first line names the columns. Incomplete rows, as a kill leaves them, and rows that do not fit are
/// counted and left out.
MetricsTable read_metrics(const std::string& csv);

}  // namespace tessera
