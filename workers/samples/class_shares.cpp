#include "workers/samples/class_shares.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <set>
#include <type_traits>

#include "io/base/error.h"
#include "io/geometry/mirror.h"
#include "io/stores/open_volume.h"
#include "io/volume/finite_check.h"
#include "workers/samples/label_doubts.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

constexpr std::size_t kHeldIds = kMostClassValues + 1;
constexpr double kRareShare = 1e-3;

}  // namespace

ClassShares& ClassShares::operator+=(const ClassShares& other) {
  counts.resize(std::max(counts.size(), other.counts.size()), 0);
  for (std::size_t c = 0; c < other.counts.size(); ++c)
    counts[c] += other.counts[c];
  std::set<LabelId> all(ids.begin(), ids.end());
  all.insert(other.ids.begin(), other.ids.end());
  ids.assign(all.begin(), all.end());
  ids.resize(std::min(ids.size(), kHeldIds));
  ids_look_like_cells = ids_look_like_cells || other.ids_look_like_cells;
  notes.insert(notes.end(), other.notes.begin(), other.notes.end());
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

std::vector<std::string> ClassShares::doubts() const {
  std::vector<std::string> sentences;
  const auto all = static_cast<double>(voxels());
  for (std::size_t c = 0; c < counts.size(); ++c) {
    if (static_cast<double>(counts[c]) >= kRareShare * all) continue;
    sentences.push_back(
        fmt::format("class {} has {} of the {} annotated voxels ({:.2g} %): look at the labels "
                    "(they hold {})",
                    c, counts[c], voxels(), all == 0 ? 0 : 100 * static_cast<double>(counts[c]) / all,
                    label_ids_text(ids)));
  }
  if (ids_look_like_cells) {
    sentences.push_back(
        fmt::format("the labels hold more than {} different values ({}), and data.label_kind is classes: "
                    "every value above 0 is "
                    "class 1, so that touching cells become one. If the values are the ids of cells, set "
                    "data.label_kind: "
                    "instances.",
                    kMostClassValues, label_ids_text(ids)));
  }
  sentences.insert(sentences.end(), notes.begin(), notes.end());
  return sentences;
}

void require_classes(const ClassShares& shares, bool allow_one_class) {
  if (shares.voxels() == 0) {
    throw UsageError(
        fmt::format("no voxel is annotated: all have the ignored label (the labels hold {}). Look at "
                    "ignore_label and the "
                    "sections.",
                    label_ids_text(shares.ids)));
  }
  const auto largest = std::ranges::max_element(shares.counts);
  const auto share = static_cast<double>(*largest) / static_cast<double>(shares.voxels());
  if (share < 1 - kRareShare || allow_one_class) return;
  const std::string how_many = shares.present() == 1
                                   ? fmt::format("all {}", shares.voxels())
                                   : fmt::format("{:.4g} % of the {}", 100 * share, shares.voxels());
  throw UsageError(
      fmt::format("{} annotated voxels are class {}: the labels hold {}{}. Such labels teach nothing. "
                  "Correct the labels, "
                  "data.label_kind, data.invert_labels or data.ignore_label; if one class is meant, set "
                  "data.allow_one_class: true.",
                  how_many, largest - shares.counts.begin(), label_ids_text(shares.ids),
                  shares.counts.size() == 2 ? ", and every id above 0 is class 1" : ""));
}

bool look_like_cells(const std::vector<LabelId>& ids, const LabelOptions& options) {
  return options.kind == LabelKind::classes && options.classes <= 2 && !options.interior &&
         ids.size() > kMostClassValues;
}

void require_other_than_raw(const VoxelBuffer& labels, const DatasetName& labels_name, const VoxelBuffer& raw,
                            const DatasetName& raw_name) {
  if (first_ids(labels).size() <= 2 || raw.channels != 1 || raw.shape != labels.shape) return;
  const bool same = with_voxel_type(labels.type, [&](auto label_zero) {
    return with_voxel_type(raw.type, [&](auto raw_zero) {
      return std::ranges::equal(
          labels.as<decltype(label_zero)>(), raw.as<decltype(raw_zero)>(), {},
          [](auto v) { return static_cast<double>(v); }, [](auto v) { return static_cast<double>(v); });
    });
  });
  if (!same) return;
  throw UsageError(fmt::format("data.labels: {} holds the voxels of the raw volume {}: name the labels",
                               labels_name.text(), raw_name.text()));
}

std::vector<LabelId> first_ids(const VoxelBuffer& labels) {
  std::set<LabelId> ids;
  with_voxel_type(labels.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_unsigned_v<T>) {
      const auto voxels = labels.as<T>();
      for (std::size_t i = 0; i < voxels.size() && ids.size() < kHeldIds; ++i) {
        if (i == 0 || voxels[i] != voxels[i - 1]) ids.insert(static_cast<LabelId>(voxels[i]));
      }
    }
  });
  return {ids.begin(), ids.end()};
}

ClassShares count_classes(const TrainingDataOptions& options) {
  const std::unique_ptr<Volume> raw_volume = open_volume(options.raw);
  const VolumeInfo& raw = raw_volume->info();
  const PlacedVolume labels = open_labels_on(raw, options.labels);
  const PixelBounds region = options.region.value_or(PixelBounds{0, 0, raw.shape.y, raw.shape.x});
  ClassShares shares;
  shares.counts.assign(static_cast<std::size_t>(std::max<std::int64_t>(2, options.classes)), 0);
  std::set<LabelId> ids;
  LabelDoubts doubts(options);
  const std::vector<std::int64_t> looked_at = doubts.sections();
  for (std::int64_t z = options.sections.begin; z < options.sections.end; ++z) {
    const Box box{{z, region.y_begin, region.x_begin}, {z + 1, region.y_end, region.x_end}};
    const VoxelBuffer section = labels.volume->read(box);
    const bool is_first = z == options.sections.begin;
    const Box seen = is_first || raw.type == VoxelType::float32 ? box : middle_of(box);
    VoxelBuffer voxels;
    if (seen == box || std::ranges::binary_search(looked_at, z)) voxels = raw_volume->read(seen);
    if (seen == box) require_finite(voxels, box, options.raw);
    if (is_first) {
      require_other_than_raw(section, options.labels, voxels, options.raw);
      require_not_exchanged(section, options.labels, voxels, options.raw);
    }
    ClassShares one{std::vector<std::int64_t>(shares.counts.size(), 0), first_ids(section)};
    VoxelBuffer classes(VoxelType::uint8, section.shape);
    std::ranges::copy(label_classes(section, box, options.label_options(), options.labels),
                      classes.as<std::uint8_t>().begin());
    for (const std::uint8_t c : classes.as<std::uint8_t>()) {
      if (c != kIgnoredClass) ++one.counts[c];
    }
    if (std::ranges::binary_search(looked_at, z)) {
      const Box middle = middle_of(box);
      doubts.add(z, cut_mirrored(voxels, seen, middle, raw.shape),
                 cut_mirrored(classes, box, middle, raw.shape));
    }
    ids.insert(one.ids.begin(), one.ids.end());
    shares += one;
  }
  const std::vector<LabelId> all(ids.begin(), ids.end());
  shares.ids_look_like_cells = look_like_cells(all, options.label_options());
  shares.notes = doubts.texts(all);
  return shares;
}

}  // namespace tessera
