#include "pipeline/config/config_values.h"

#include <fmt/format.h>

#include "io/base/error.h"
#include "workers/mpi/silence_watch.h"

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

std::int64_t number_or_auto(ConfigSection& section, const std::string& key, const Range& range) {
  const auto value = section.get_or_word<std::int64_t>(key, std::string("auto"), {"auto"}, range);
  return std::holds_alternative<std::string>(value) ? 0 : std::get<std::int64_t>(value);
}

double silence_minutes(ConfigSection& section, const std::string& key) {
  const double minutes =
      section.get<double>(key, SilenceLimit::kDefaultMinutes, between(0, SilenceLimit::kLongestMinutes));
  if (minutes > 0 && minutes < SilenceLimit::kShortestMinutes) {
    section.problem(key, fmt::format("at least {}, or 0 for no limit", SilenceLimit::kShortestMinutes));
  }
  return minutes;
}

std::optional<Index3> shape(ConfigSection& section, const std::string& key) {
  const auto sides = section.optional<std::vector<std::int64_t>>(key, at_least(1).of_count(3));
  if (!sides || sides->size() != 3) return std::nullopt;
  return Index3{(*sides)[0], (*sides)[1], (*sides)[2]};
}

std::optional<Index3> position(ConfigSection& section, const std::string& key) {
  const auto at = section.optional<std::vector<std::int64_t>>(key, at_least(0).of_count(3));
  if (!at || at->size() != 3) return std::nullopt;
  return Index3{(*at)[0], (*at)[1], (*at)[2]};
}

std::optional<Index3> pixel(ConfigSection& section, const std::string& key, std::int64_t least,
                            const std::optional<Index3>& fallback) {
  using Pixel = std::vector<std::int64_t>;
  const Range range = at_least(static_cast<double>(least)).of_count(2);
  const std::optional<Pixel> at = fallback ? section.get<Pixel>(key, {fallback->y, fallback->x}, range)
                                           : section.optional<Pixel>(key, range);
  if (!at || at->size() != 2) return std::nullopt;
  return Index3{0, (*at)[0], (*at)[1]};
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
