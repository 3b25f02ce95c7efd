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

// The readers of values of one form. Their keys need no `form`: these functions add it.

/// `file.h5:/path/in/file` of a key. A wrong name is noted as a problem, and so is a missing key when it is
/// `required`; the result is then none.
std::optional<DatasetName> dataset(ConfigSection& section, Key key, bool required = false);

/// `[first, end]` of a key, half-open; problems as for dataset().
std::optional<Sections> sections(ConfigSection& section, Key key, bool required = false);

/// `auto` (0), or a whole number within `range`.
std::int64_t number_or_auto(ConfigSection& section, const Key& key, const Range& range);

/// `watchdog_minutes`: minutes of silence after which a job ends. 0 for any time, else within the range of
/// SilenceLimit. `more`: what is special in this section.
double silence_minutes(ConfigSection& section, const std::string& more = "");

/// `[z, y, x]`, each at least 1; none for automatic.
std::optional<Index3> shape(ConfigSection& section, Key key);

/// `[z, y, x]`, each at least 0; none where the file lacks the key.
std::optional<Index3> position(ConfigSection& section, Key key);

/// `region:` with `begin` and `end`, [y, x] each, as two corners with z = 0. Absent corners are those of
/// `defaults`. Their order is not checked.
struct PixelCorners {
  std::optional<Index3> begin, end;
  bool in_order() const;
};
/// The problem of corners that are not in order.
constexpr const char* kCornersInOrder = "half-open: begin must be below end in y and in x";
PixelCorners pixel_region(ConfigSection& section, const Key& key, const PixelCorners& defaults);

/// A message when a key has another number of wildcards than `key`, whose matches replace them; "" when the
/// numbers are equal.
std::string wildcard_mismatch(const std::vector<std::string>& own, const std::string& key,
                              const std::vector<std::string>& others);

/// What a verb requires the file to say.
struct ConfigNeeds {
  bool training = false, inference = false, segmentation = false;
};

}  // namespace tessera
