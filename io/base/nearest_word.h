#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// The candidate that `word` most likely misspells (by edit distance) or abbreviates ('gpus' for
/// 'gpus_per_node'), or nothing when none is close.
std::optional<std::string> nearest_word(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace tessera
