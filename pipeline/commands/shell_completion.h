#pragma once

#include <string>
#include <vector>

#include "pipeline/config/key_description.h"

namespace tessera {

/// A completion script for bash or zsh: verbs, options, YAML files, and keys after `help` and `--set`.
std::string bash_completion(const std::vector<KeyDescription>& keys);
std::string zsh_completion(const std::vector<KeyDescription>& keys);

}  // namespace tessera
