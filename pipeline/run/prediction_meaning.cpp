#include "pipeline/run/prediction_meaning.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace tessera {
namespace {

/// The whole number that the text starts with; none without digits.
std::optional<std::int64_t> leading_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return std::nullopt;
  return number;
}

template <class T>
bool integers_look_like_ids(std::span<const T> voxels) {
  constexpr T kFull = std::numeric_limits<T>::max(), kExtreme = kFull / 32;
  constexpr std::int64_t kFewestPairs = 64;
  const T largest = voxels.empty() ? T{} : *std::ranges::max_element(voxels);
  if (largest < kFull / 16) return largest > 0;
  std::int64_t pairs = 0, equal = 0;
  for (std::size_t i = 1; i < voxels.size(); ++i) {
    if (voxels[i] <= kExtreme || voxels[i] >= kFull - kExtreme) continue;
    ++pairs;
    if (voxels[i] == voxels[i - 1]) ++equal;
  }
  // A probability of 8 bits has more equal neighbours than one of 16.
  constexpr std::int64_t kPerCent = sizeof(T) == 1 ? 90 : 60;
  return pairs >= kFewestPairs && 100 * equal > kPerCent * pairs;
}

}  // namespace

bool looks_like_ids(const VoxelBuffer& voxels) {
  return with_voxel_type(voxels.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_unsigned_v<T>) {
      return voxels.type != VoxelType::float16 && integers_look_like_ids(voxels.as<T>());
    } else {
      return false;
    }
  });
}

std::string training_attribute(std::size_t number) {
  return number == 0 ? "training_config" : fmt::format("training_config_{}", number + 1);
}

PredictionMeaning meaning_of(const VolumeInfo& prediction) {
  using Values = PredictionMeaning::Values;
  PredictionMeaning meaning;
  const auto said = prediction.attributes.find("meaning");
  if (said == prediction.attributes.end()) return meaning;
  const std::string_view text = said->second;
  constexpr std::string_view kOne = "probability of class ", kSeveral = "probabilities of classes ";
  // Results of older versions begin with "the most".
  if (text == kPredictedClass || (text.starts_with("the most ") && text.ends_with(" class"))) {
    meaning.values = Values::classes;
  } else if (text.starts_with(kOne)) {
    const auto number = leading_number(text.substr(kOne.size()));
    if (!number) return meaning;
    meaning.values = Values::probability;
    meaning.output_class = *number;
  } else if (text.starts_with(kSeveral)) {
    meaning.values = Values::probability;
  }
  const auto classes = prediction.attributes.find("classes");
  if (meaning.values == Values::unknown || classes == prediction.attributes.end()) return meaning;
  if (const auto count = leading_number(classes->second); count && *count > 0) meaning.classes = *count;
  return meaning;
}

}  // namespace tessera
