#include "workers/samples/class_shares.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <set>
#include <type_traits>

#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

constexpr std::size_t kShownIds = 6;
constexpr double kRareShare = 1e-3;

std::string ids_text(const std::vector<LabelId>& ids) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < std::min(ids.size(), kShownIds); ++i)
    texts.push_back(label_id_text(ids[i]));
  return fmt::format("{}{}", fmt::join(texts, ", "), ids.size() > kShownIds ? ", ..." : "");
}

}  // namespace

ClassShares& ClassShares::operator+=(const ClassShares& other) {
  counts.resize(std::max(counts.size(), other.counts.size()), 0);
  for (std::size_t c = 0; c < other.counts.size(); ++c)
    counts[c] += other.counts[c];
  std::set<LabelId> all(ids.begin(), ids.end());
  all.insert(other.ids.begin(), other.ids.end());
  ids.assign(all.begin(), all.end());
  ids.resize(std::min(ids.size(), kShownIds + 1));
  return *this;
}

std::int64_t ClassShares::voxels() const {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

std::int64_t ClassShares::present() const {
  return std::count_if(counts.begin(), counts.end(), [](std::int64_t count) { return count > 0; });
}

std::string ClassShares::text() const {
  std::vector<std::string> texts;
  const double all = static_cast<double>(std::max<std::int64_t>(1, voxels()));
  for (std::size_t c = 0; c < counts.size(); ++c)
    texts.push_back(fmt::format("class {}: {:.3g} %", c, 100 * static_cast<double>(counts[c]) / all));
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::vector<std::string> ClassShares::rare_classes() const {
  std::vector<std::string> sentences;
  const auto all = static_cast<double>(voxels());
  for (std::size_t c = 0; c < counts.size(); ++c) {
    if (static_cast<double>(counts[c]) >= kRareShare * all) continue;
    sentences.push_back(fmt::format(
        "class {} has {} of the {} annotated voxels ({:.2g} %): look at the labels "
        "(they hold {})",
        c, counts[c], voxels(), all == 0 ? 0 : 100 * static_cast<double>(counts[c]) / all, ids_text(ids)));
  }
  return sentences;
}

void require_classes(const ClassShares& shares, bool allow_one_class) {
  if (shares.voxels() == 0) {
    throw UsageError(
        fmt::format("no voxel is annotated: all have the ignored label (the labels hold {}). Look at "
                    "ignore_label and the "
                    "sections.",
                    ids_text(shares.ids)));
  }
  if (shares.present() > 1 || allow_one_class) return;
  const auto only = std::find_if(shares.counts.begin(), shares.counts.end(), [](auto n) { return n > 0; });
  throw UsageError(fmt::format(
      "all {} annotated voxels are class {}: the labels hold {}{}. Correct the labels, data.label_kind, "
      "data.invert_labels or data.ignore_label; if one class is meant, set data.allow_one_class: true.",
      shares.voxels(), only - shares.counts.begin(), ids_text(shares.ids),
      shares.counts.size() == 2 ? ", and every id above 0 is class 1" : ""));
}

std::vector<LabelId> first_ids(const VoxelBuffer& labels) {
  std::set<LabelId> ids;
  with_voxel_type(labels.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_unsigned_v<T>) {
      const auto voxels = labels.as<T>();
      for (std::size_t i = 0; i < voxels.size() && ids.size() <= kShownIds; ++i) {
        if (i == 0 || voxels[i] != voxels[i - 1]) ids.insert(static_cast<LabelId>(voxels[i]));
      }
    }
  });
  return {ids.begin(), ids.end()};
}

ClassShares count_classes(const TrainingDataOptions& options) {
  const VolumeInfo raw = read_volume_info(options.raw);
  const PlacedVolume labels = open_labels_on(raw, options.labels);
  const PixelBounds region = options.region.value_or(PixelBounds{0, 0, raw.shape.y, raw.shape.x});
  ClassShares shares;
  shares.counts.assign(static_cast<std::size_t>(std::max<std::int64_t>(2, options.classes)), 0);
  for (std::int64_t z = options.sections.begin; z < options.sections.end; ++z) {
    const Box box{{z, region.y_begin, region.x_begin}, {z + 1, region.y_end, region.x_end}};
    const VoxelBuffer section = labels.volume->read(box);
    ClassShares one{std::vector<std::int64_t>(shares.counts.size(), 0), first_ids(section)};
    for (const std::uint8_t c : label_classes(section, box, options.label_options(), options.labels)) {
      if (c != kIgnoredClass) ++one.counts[c];
    }
    shares += one;
  }
  return shares;
}

}  // namespace tessera
