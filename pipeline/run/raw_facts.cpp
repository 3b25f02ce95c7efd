#include "pipeline/run/raw_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace tessera {
namespace {

constexpr const char *kVoxelSizes = "raw_voxel_sizes_nm", *kTypes = "raw_types";
constexpr double kSame = 0.1;  ///< relative difference of a voxel's sides

template <class T>
void add_once(std::vector<T>& list, const T& one) {
  if (std::ranges::find(list, one) == list.end()) list.push_back(one);
}

/// The largest relative difference of an axis.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t axis = 0; axis < 3; ++axis)
    largest = std::max(largest, std::abs(a[axis] - b[axis]) / std::abs(b[axis]));
  return largest;
}

std::string size_text(const std::vector<double>& nm) {
  return fmt::format("{:.4g} x {:.4g} x {:.4g} nm", nm[0], nm[1], nm[2]);
}

}  // namespace

void RawFacts::add(const VolumeInfo& raw) {
  if (raw.resolution_nm.size() == 3) add_once(voxel_sizes_nm, raw.resolution_nm);
  add_once(types, name_of(raw.type));
}

void RawFacts::store(Checkpoint& checkpoint) const {
  std::vector<double> flat;
  for (const std::vector<double>& one : voxel_sizes_nm)
    flat.insert(flat.end(), one.begin(), one.end());
  if (!flat.empty()) checkpoint.numbers[kVoxelSizes] = flat;
  if (!types.empty()) checkpoint.texts[kTypes] = fmt::format("{}", fmt::join(types, " "));
}

RawFacts RawFacts::of(const Checkpoint& checkpoint) {
  RawFacts facts;
  if (const auto found = checkpoint.numbers.find(kVoxelSizes); found != checkpoint.numbers.end()) {
    for (std::size_t i = 0; i + 3 <= found->second.size(); i += 3)
      facts.voxel_sizes_nm.emplace_back(found->second.begin() + static_cast<std::ptrdiff_t>(i),
                                        found->second.begin() + static_cast<std::ptrdiff_t>(i + 3));
  }
  if (const auto found = checkpoint.texts.find(kTypes); found != checkpoint.texts.end()) {
    std::istringstream words(found->second);
    for (std::string word; words >> word;)
      facts.types.push_back(word);
  }
  return facts;
}

std::string RawFacts::voxel_size_doubt(const VolumeInfo& raw) const {
  if (raw.resolution_nm.size() != 3 || voxel_sizes_nm.empty()) return {};
  const auto nearest = std::ranges::min_element(
      voxel_sizes_nm, {}, [&](const auto& one) { return difference(raw.resolution_nm, one); });
  if (difference(raw.resolution_nm, *nearest) <= kSame) return {};
  return fmt::format(
      "{}: its voxels are {} (z, y, x), and the network was trained on voxels of {}: structures have another "
      "size in pixels, so the prediction is probably worse. Resample the volume, or correct its attribute "
      "'resolution' if it is wrong.",
      raw.name.text(), size_text(raw.resolution_nm), size_text(*nearest));
}

std::string RawFacts::type_doubt(const VolumeInfo& raw) const {
  if (types.empty() || std::ranges::find(types, name_of(raw.type)) != types.end()) return {};
  return fmt::format(
      "{}: its voxels are {}, and the network was trained on {}: grey levels probably have another scale. "
      "Set "
      "infer.normalisation to volume or section, or convert the volume.",
      raw.name.text(), name_of(raw.type), fmt::join(types, ", "));
}

}  // namespace tessera
