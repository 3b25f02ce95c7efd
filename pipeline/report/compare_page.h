#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/report/run_record.h"

namespace tessera {

/// Compares two runs (or two evaluations) in a self-contained HTML file: scores with their differences,
/// curves in one plot, the same sections of both, keys of the config that differ.
std::string compare_page(const RunRecord& a, const RunRecord& b);

/// A key whose values differ. The value is empty where a config lacks the key.
struct ConfigDifference {
  std::string key, a, b;
};
std::vector<ConfigDifference> config_differences(const RunRecord& a, const RunRecord& b);

/// A section that both evaluations have, and why it is shown: the worst in A, the worst in B, or the one that
/// changed most. Each section is listed once.
struct ChosenSection {
  std::int64_t section = 0;
  std::string why;
};
std::vector<ChosenSection> sections_to_compare(const Json& a, const Json& b);

}  // namespace tessera
