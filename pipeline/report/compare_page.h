#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/report/run_record.h"

namespace tessera {

/// Two runs (or two evaluations) beside each other as a self-contained HTML file: scores with their
/// differences, curves over one another, the same sections of both, keys of the config that differ.
std::string compare_page(const RunRecord& a, const RunRecord& b);

/// A key that both configs have with other values, or that only one has (the other value is then empty).
struct ConfigDifference {
  std::string key, a, b;
};
std::vector<ConfigDifference> config_differences(const RunRecord& a, const RunRecord& b);

/// Of the sections that both evaluations have: the worst in A, the worst in B, the one that changed most,
/// each once, with what it is.
struct ChosenSection {
  std::int64_t section = 0;
  std::string why;
};
std::vector<ChosenSection> sections_to_compare(const Json& a, const Json& b);

}  // namespace tessera
