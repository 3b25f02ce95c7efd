#include "pipeline/config/config_values.h"

#include <fmt/format.h>

#include "io/base/error.h"
#include "workers/mpi/silence_watch.h"

namespace tessera {

std::optional<DatasetName> dataset(ConfigSection& section, Key key, bool required) {
  key.notes.form = "a dataset, FILE.h5:/path/in/file";
  const auto text = required ? section.require<std::string>(key) : section.optional<std::string>(key);
  if (!text) return std::nullopt;
  try {
    return parse_dataset_name(*text);
  } catch (const UsageError& error) {
    section.problem(key.name, error.what());
    return std::nullopt;
  }
}

std::optional<Sections> sections(ConfigSection& section, Key key, bool required) {
  using Pair = std::vector<std::int64_t>;
  key.notes.form = "[first, end]: the sections first to end - 1";
  const Range two = at_least(0).of_count(2);
  const auto range = required ? section.require<Pair>(key, two) : section.optional<Pair>(key, two);
  if (!range || range->size() != 2) return std::nullopt;  // noted already
  if ((*range)[0] >= (*range)[1]) {
    section.problem(key.name,
                    "half-open: the first section must be below the end, such as [16, 20] for 16 to 19");
    return std::nullopt;
  }
  return Sections{(*range)[0], (*range)[1]};
}

std::int64_t number_or_auto(ConfigSection& section, const Key& key, const Range& range) {
  const auto value = section.get_or_word<std::int64_t>(key, std::string("auto"), {"auto"}, range);
  return std::holds_alternative<std::string>(value) ? 0 : std::get<std::int64_t>(value);
}

double silence_minutes(ConfigSection& section, const std::string& more) {
  const Key key{
      "watchdog_minutes",
      "A rank that is silent for this many minutes ends the job and is named: its process is stopped, "
      "or its node hangs. A slow rank is not silent. 0: no limit." +
          more,
      {.example = "60",
       .form = fmt::format("a number: 0, or {} to {}", SilenceLimit::kShortestMinutes,
                           SilenceLimit::kLongestMinutes)}};
  const double minutes =
      section.get<double>(key, SilenceLimit::kDefaultMinutes, between(0, SilenceLimit::kLongestMinutes));
  if (minutes > 0 && minutes < SilenceLimit::kShortestMinutes) {
    section.problem(key.name, fmt::format("at least {}, or 0 for no limit", SilenceLimit::kShortestMinutes));
  }
  return minutes;
}

namespace {

std::optional<Index3> triple(ConfigSection& section, const Key& key, const Range& range) {
  const auto at = section.optional<std::vector<std::int64_t>>(key, range.of_count(3));
  if (!at || at->size() != 3) return std::nullopt;
  return Index3{(*at)[0], (*at)[1], (*at)[2]};
}

/// `[y, x]`, each at least `least`, with z = 0; `fallback` where the file lacks the key.
std::optional<Index3> pixel(ConfigSection& section, Key key, std::int64_t least,
                            const std::optional<Index3>& fallback) {
  using Pixel = std::vector<std::int64_t>;
  key.notes.form = fmt::format("[y, x], pixels, each at least {}", least);
  const Range range = at_least(static_cast<double>(least)).of_count(2);
  const std::optional<Pixel> at = fallback ? section.get<Pixel>(key, {fallback->y, fallback->x}, range)
                                           : section.optional<Pixel>(key, range);
  if (!at || at->size() != 2) return std::nullopt;
  return Index3{0, (*at)[0], (*at)[1]};
}

}  // namespace

std::optional<Index3> shape(ConfigSection& section, Key key) {
  key.notes.form = "[z, y, x], voxels, each at least 1";
  return triple(section, key, at_least(1));
}

std::optional<Index3> position(ConfigSection& section, Key key) {
  key.notes.form = "[z, y, x], voxels, each at least 0";
  return triple(section, key, at_least(0));
}

bool PixelCorners::in_order() const {
  const Index3 first = begin.value_or(Index3{});
  return !end || (first.y < end->y && first.x < end->x);
}

PixelCorners pixel_region(ConfigSection& section, const Key& key, const PixelCorners& defaults) {
  ConfigSection region = section.section(key);
  const auto fallback = [&](const char* plain) {
    return key.notes.fallback.empty() ? plain : key.notes.fallback;
  };
  PixelCorners corners;
  corners.begin = pixel(
      region,
      {"begin", "First row and column of the region.", {.example = "[0, 0]", .fallback = fallback("[0, 0]")}},
      0, defaults.begin);
  corners.end = pixel(region,
                      {"end",
                       "Row and column after the last ones of the region.",
                       {.example = "[512, 512]", .fallback = fallback("the section's sides")}},
                      1, defaults.end);
  return corners;
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
