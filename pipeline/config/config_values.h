#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/volume/dataset_name.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// `file.h5:/path/in/file` of a key; what is wrong with it is noted. Nothing where the file lacks it, which
/// is a problem too when it is required.
std::optional<DatasetName> dataset(ConfigSection& section, const std::string& key, bool required = false);

/// `[first, end]` of a key, half-open, likewise.
std::optional<Sections> sections(ConfigSection& section, const std::string& key, bool required = false);

/// What is wrong with a key's wildcards, which those of another `key` are to fill in; "" where they are as
/// many.
std::string wildcard_mismatch(const std::vector<std::string>& own, const std::string& key,
                              const std::vector<std::string>& others);

}  // namespace tessera
