#include "pipeline/segment/affinity_offsets.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "io/base/error.h"

namespace tessera {
namespace {

constexpr const char* kExampleOfOffsets = "[-1 0 0, 0 -1 0, 0 0 -1]";
constexpr double kFarthestOffset = 1e6;

/// The numbers of the attribute, one after the other; none where it is missing or has another form.
std::vector<double> stored_offsets(const VolumeInfo& prediction) {
  std::vector<double> numbers;
  const auto text = prediction.attributes.find("offsets");
  if (text == prediction.attributes.end()) return numbers;
  const nlohmann::json list = nlohmann::json::parse(text->second, nullptr, false);
  if (!list.is_array()) return numbers;
  for (const nlohmann::json& one : list) {
    for (const nlohmann::json& number : one.is_array() ? one : nlohmann::json::array({one})) {
      if (number.is_number()) numbers.push_back(number.get<double>());
    }
  }
  return numbers;
}

/// Along which axis a neighbour is; -1 for other offsets.
int axis_of_neighbour(const Index3& offset) {
  for (int axis = 0; axis < 3; ++axis) {
    Index3 before, behind;
    before[axis] = -1;
    behind[axis] = 1;
    if (offset == before || offset == behind) return axis;
  }
  return -1;
}

}  // namespace

std::vector<Index3> affinity_offsets(const SegmentConfig& config, const VolumeInfo& prediction) {
  const std::string name = prediction.name.text();
  if (prediction.rank != 4) {
    throw UsageError(
        fmt::format("segment.prediction: {} has {} dimensions; affinities are (channel, z, y, x): set "
                    "segment.input: probability",
                    name, prediction.rank));
  }
  const auto channels = static_cast<std::size_t>(prediction.channels);
  if (!config.offsets.empty()) {
    if (config.offsets.size() == channels) return config.offsets;
    throw UsageError(fmt::format("segment.offsets: has {} offsets, but {} has {} channels: set one for each",
                                 config.offsets.size(), name, channels));
  }
  const std::vector<double> numbers = stored_offsets(prediction);
  if (numbers.empty()) {
    throw UsageError(
        fmt::format("segment.prediction: {} has no attribute 'offsets' that says which neighbour each of its "
                    "{} channels is for: set segment.offsets, such as {}",
                    name, channels, kExampleOfOffsets));
  }
  bool fits = numbers.size() == 3 * channels;
  for (const double number : numbers)
    fits = fits && std::abs(number) <= kFarthestOffset && number == std::floor(number);
  if (!fits) {
    throw UsageError(
        fmt::format("segment.prediction: the attribute 'offsets' of {} has {} numbers; it needs 3 whole ones "
                    "for each of {} channels: set segment.offsets, such as {}",
                    name, numbers.size(), channels, kExampleOfOffsets));
  }
  std::vector<Index3> offsets(channels);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    offsets[i / 3][static_cast<int>(i % 3)] = static_cast<std::int64_t>(numbers[i]);
  return offsets;
}

AffinityChannels affinity_channels(const std::vector<Index3>& offsets, SegmentMode mode,
                                   const VolumeInfo& prediction) {
  constexpr const char* kAxes = "zyx";
  AffinityChannels found;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const int axis = axis_of_neighbour(offsets[i]);
    if (axis < 0) continue;
    const auto at = static_cast<std::size_t>(axis);
    if (found.channel[at] >= 0) {
      throw UsageError(fmt::format(
          "segment.offsets: the channels {} and {} of {} are both for neighbours along {}: leave one "
          "out of the prediction",
          found.channel[at], i, prediction.name.text(), kAxes[at]));
    }
    found.channel[at] = static_cast<std::int64_t>(i);
    found.step[at] = offsets[i][axis];
  }
  for (std::size_t at = mode == SegmentMode::sections ? 1 : 0; at < 3; ++at) {
    if (found.channel[at] >= 0) continue;
    throw UsageError(
        fmt::format("segment.offsets: no channel of {} is for neighbours along {}, which mode {} needs: its "
                    "offsets are {}",
                    prediction.name.text(), kAxes[at], name_of(mode), offsets_text(offsets)));
  }
  return found;
}

std::string offsets_text(const std::vector<Index3>& offsets) {
  std::string text;
  for (const Index3& one : offsets)
    text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", one.z, one.y, one.x);
  return text;
}

}  // namespace tessera
