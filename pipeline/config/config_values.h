#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/volume/dataset_name.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// `file.h5:/path/in/file` of a key. A wrong name is noted as a problem, and so is a missing key when it is
/// `required`; the result is then none.
std::optional<DatasetName> dataset(ConfigSection& section, const std::string& key, bool required = false);

/// `[first, end]` of a key, half-open; problems as for dataset().
std::optional<Sections> sections(ConfigSection& section, const std::string& key, bool required = false);

/// `auto` (0), or a whole number within `range`.
std::int64_t number_or_auto(ConfigSection& section, const std::string& key, const Range& range);

/// Minutes of silence after which a job ends: 0 for any time, else within the range of SilenceLimit.
double silence_minutes(ConfigSection& section, const std::string& key);

/// `[z, y, x]`, each at least 1; none for automatic.
std::optional<Index3> shape(ConfigSection& section, const std::string& key);

/// `[z, y, x]`, each at least 0; none where the file lacks the key.
std::optional<Index3> position(ConfigSection& section, const std::string& key);

/// `[y, x]`, each at least `least`, with z = 0; `fallback` where the file lacks the key.
std::optional<Index3> pixel(ConfigSection& section, const std::string& key, std::int64_t least,
                            const std::optional<Index3>& fallback = {});

/// A message when a key has another number of wildcards than `key`, whose matches replace them; "" when the
/// numbers are equal.
std::string wildcard_mismatch(const std::vector<std::string>& own, const std::string& key,
                              const std::vector<std::string>& others);

/// What a verb requires the file to say.
struct ConfigNeeds {
  bool training = false, inference = false;
};

}  // namespace tessera
