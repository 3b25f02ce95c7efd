#include "pipeline/config/config_values.h"

#include <fmt/format.h>

#include "io/base/error.h"

namespace tessera {

std::optional<DatasetName> dataset(ConfigSection& section, const std::string& key, bool required) {
  if (required && !section.has(key)) return section.require<std::string>(key), std::nullopt;
  const auto text = section.optional<std::string>(key);  // known all the same where it is absent
  if (!text) return std::nullopt;
  try {
    return parse_dataset_name(*text);
  } catch (const UsageError& error) {
    section.problem(key, error.what());
    return std::nullopt;
  }
}

std::optional<Sections> sections(ConfigSection& section, const std::string& key, bool required) {
  if (!required && !section.has(key)) return section.optional<std::string>(key), std::nullopt;
  const auto range = section.require<std::vector<std::int64_t>>(key, at_least(0).of_count(2));
  if (range.size() != 2) return std::nullopt;  // noted already
  if (range[0] >= range[1]) {
    section.problem(key, "half-open: the first section must be below the end, such as [16, 20] for 16 to 19");
    return std::nullopt;
  }
  return Sections{range[0], range[1]};
}

std::string wildcard_mismatch(const std::vector<std::string>& own, const std::string& key,
                              const std::vector<std::string>& others) {
  if (own.size() == others.size()) return {};
  return fmt::format(
      "has {} wildcards, {} has {}: what those of {} stand for is put in place of these, so there must be as "
      "many",
      own.size(), key, others.size(), key);
}

}  // namespace tessera
