#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pipeline/config/key_description.h"

namespace tessera {

/// The manual pages by file name: tessera.1, tessera-VERB.1 for each verb, and tessera-experiment.5 with
/// every key.
std::map<std::string, std::string> man_pages(const std::vector<KeyDescription>& keys);

}  // namespace tessera
