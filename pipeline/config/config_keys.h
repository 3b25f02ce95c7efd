#pragma once

#include <string>
#include <vector>

namespace tessera {

/// A key such as "train.iterations" with the text of its value.
struct ConfigKey {
  std::string key, value;
};

/// The keys of a YAML file that tessera wrote. Errors: UsageError with the place.
std::vector<ConfigKey> config_keys(const std::string& yaml, const std::string& file);

/// The key of this name; null without one.
const ConfigKey* find_key(const std::vector<ConfigKey>& keys, const std::string& key);

}  // namespace tessera
