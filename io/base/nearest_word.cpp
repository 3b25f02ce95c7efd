#include "io/base/nearest_word.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace tessera {
namespace {

/// The Levenshtein distance.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

/// The shortest candidate that begins with the word, such as 'gpus_per_node' with 'gpus'; else one that the
/// word begins with, such as 'time' of 'time_limit'. None for words of less than three letters.
std::optional<std::string> same_begin(const std::string& word, const std::vector<std::string>& candidates) {
  std::optional<std::string> longer, shorter;
  for (const std::string& candidate : candidates) {
    if (word.size() >= 3 && candidate.starts_with(word) && (!longer || candidate.size() < longer->size()))
      longer = candidate;
    const bool is_first_part = candidate.size() >= 3 && word.starts_with(candidate) &&
                               word.size() > candidate.size() &&
                               (word[candidate.size()] == '_' || word[candidate.size()] == '-');
    if (is_first_part && (!shorter || candidate.size() > shorter->size())) shorter = candidate;
  }
  return longer ? longer : shorter;
}

}  // namespace

std::optional<std::string> nearest_word(const std::string& word, const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  if (best && best_distance <= 1) return best;
  const std::optional<std::string> part = same_begin(word, candidates);
  return part ? part : best;
}

}  // namespace tessera
