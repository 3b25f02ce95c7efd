#pragma once

#include <optional>
#include <string>

#include "io/dataset_name.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/train/training_data.h"

namespace tessera {

/// `file.h5:/path/in/file` of a key; what is wrong with it is noted. Nothing where the file lacks it, which
/// is a problem too when it is required.
std::optional<DatasetName> dataset(ConfigSection& section, const std::string& key, bool required = false);

/// `[first, end]` of a key, half-open, likewise.
std::optional<Sections> sections(ConfigSection& section, const std::string& key, bool required = false);

}  // namespace tessera
