#include "workers/samples/section_look.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "workers/metrics/components.h"

namespace tessera {
namespace {

constexpr std::int64_t kMostLookedAt = 256, kMostSide = 1024;

}  // namespace

Box middle_of(Box box) {
  for (int axis = 1; axis < 3; ++axis) {
    const std::int64_t more = box.end[axis] - box.begin[axis] - kMostSide;
    if (more <= 0) continue;
    box.begin[axis] += more / 2;
    box.end[axis] = box.begin[axis] + kMostSide;
  }
  return box;
}

std::vector<std::int64_t> spread_sections(std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> sections;
  const std::int64_t count = std::min(end - begin, kMostLookedAt);
  for (std::int64_t i = 0; i < count; ++i)
    sections.push_back(begin + i * (end - begin) / count);
  return sections;
}

std::vector<float> greys_of(const VoxelBuffer& voxels) {
  std::vector<float> greys(static_cast<std::size_t>(volume_of(voxels.shape)));
  with_voxel_type(voxels.type, [&](auto zero) {
    const auto values = voxels.as<decltype(zero)>();
    std::transform(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(greys.size()), greys.begin(),
                   [](auto value) { return static_cast<float>(value); });
  });
  return greys;
}

SectionGrey SectionGrey::of(std::int64_t z, std::span<const float> greys) {
  SectionGrey one;
  one.z = z;
  one.least = std::numeric_limits<double>::infinity();
  one.most = -one.least;
  for (const float value : greys) {
    if (!std::isfinite(value)) continue;
    one.sum += value;
    one.squares += double{value} * value;
    one.count += 1;
    one.least = std::min<double>(one.least, value);
    one.most = std::max<double>(one.most, value);
  }
  return one;
}

double SectionGrey::deviation() const {
  return count > 0 ? std::sqrt(std::max(0.0, squares / count - mean() * mean())) : 0;
}

std::vector<std::int64_t> blank_sections(const std::vector<SectionGrey>& sections) {
  constexpr double kUsual = 20;
  std::vector<std::int64_t> blank;
  if (sections.empty()) return blank;
  std::vector<double> deviations;
  deviations.reserve(sections.size());
  for (const SectionGrey& one : sections)
    deviations.push_back(one.deviation());
  std::ranges::sort(deviations);
  const double usual = deviations[3 * deviations.size() / 4];
  for (const SectionGrey& one : sections) {
    if (one.deviation() < usual / kUsual) blank.push_back(one.z);
  }
  return blank;
}

void ZeroLook::add_greys(std::span<const std::uint8_t> zero, std::span<const float> greys) {
  for (std::size_t i = 0; i < zero.size(); ++i) {
    if (zero[i] > 1 || !std::isfinite(greys[i])) continue;
    const std::size_t side = zero[i] == 1 ? 0 : 1;
    sum_[side] += greys[i];
    count_[side] += 1;
  }
}

void ZeroLook::add_pieces(std::span<const std::uint8_t> zero, std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> mask(zero.size());
  std::ranges::transform(zero, mask.begin(),
                         [](std::uint8_t one) -> std::uint8_t { return one == 1 ? 1 : 0; });
  const Components pieces = label_components(mask, height, width);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(pieces.count) + 1, 0);
  for (const std::int32_t label : pieces.labels)
    ++sizes[static_cast<std::size_t>(label)];
  sizes[0] = 0;
  pixels_ += static_cast<double>(std::ranges::count(mask, std::uint8_t{1}));
  largest_ += static_cast<double>(*std::ranges::max_element(sizes));
}

bool ZeroLook::is_interior(double deviation) const {
  constexpr double kClearlyDarker = 0.3;  // deviations
  constexpr double kLargestPiece = 0.8;   // of the pixels of class 0
  if (count_[0] == 0 || count_[1] == 0) return false;
  return mean_of_zero() - mean_of_others() > kClearlyDarker * deviation && largest_ < kLargestPiece * pixels_;
}

double changing_share(const VoxelBuffer& voxels) {
  const std::int64_t width = voxels.shape.x, rows = volume_of(voxels.shape) / width;
  if (width < 2) return 0;
  std::int64_t changing = 0;
  with_voxel_type(voxels.type, [&](auto zero) {
    const auto values = voxels.as<decltype(zero)>();
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto line =
          values.subspan(static_cast<std::size_t>(row * width), static_cast<std::size_t>(width));
      for (std::size_t x = 1; x < line.size(); ++x)
        changing += line[x] != line[x - 1] ? 1 : 0;
    }
  });
  return static_cast<double>(changing) / static_cast<double>(rows * (width - 1));
}

bool look_exchanged(const VoxelBuffer& raw, const VoxelBuffer& labels, std::size_t label_values) {
  constexpr std::size_t kManyValues = 16;
  constexpr double kNoise = 0.5, kAreas = 0.25;
  return label_values > kManyValues && changing_share(labels) > kNoise && changing_share(raw) < kAreas;
}

}  // namespace tessera
