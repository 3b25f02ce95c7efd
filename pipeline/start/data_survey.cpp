#include "pipeline/start/data_survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <type_traits>

#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "workers/metrics/components.h"
#include "workers/samples/label_doubts.h"
#include "workers/samples/label_fit.h"
#include "workers/samples/section_look.h"

namespace tessera {
namespace {

/// Sections whose objects are counted.
constexpr std::size_t kSectionsWithObjects = 4;
/// More ids than this are ids of cells.
constexpr std::int64_t kMostClassIds = 16;
/// Sections that are compared with their neighbours.
constexpr std::size_t kSectionsWithNeighbours = 16;
/// Pieces of one id in one section: more on average are a class, not a cell.
constexpr double kPiecesOfACell = 2.5;

std::vector<LabelId> ids_of(const VoxelBuffer& section) {
  std::vector<LabelId> ids(static_cast<std::size_t>(volume_of(section.shape)));
  with_voxel_type(section.type, [&](auto zero) {
    const auto voxels = section.as<decltype(zero)>();
    std::transform(voxels.begin(), voxels.end(), ids.begin(),
                   [](auto voxel) { return static_cast<LabelId>(voxel); });
  });
  return ids;
}

/// The contrast between labels and the raw sections at a place relative to them.
struct Contrast {
  std::array<double, 2> sum{}, count{};

  void add(const std::vector<LabelId>& ids, const std::vector<float>& greys) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (is_negative_id(ids[i]) || !std::isfinite(greys[i])) continue;
      const std::size_t side = ids[i] == 0 ? 0 : 1;
      sum[side] += greys[i];
      count[side] += 1;
    }
  }
  double value() const {
    return count[0] > 0 && count[1] > 0 ? std::abs(sum[0] / count[0] - sum[1] / count[1]) : 0;
  }
};

class Survey {
 public:
  Survey(const DatasetName& raw, const std::optional<DatasetName>& labels) : raw_(open_volume(raw)) {
    result_.raw = raw_->info();
    if (!labels) return;
    result_.labels = read_labels_info(*labels);
    labels_.emplace(open_labels_on(result_.raw, *labels));
    result_.found.covered = labels_->covered;
  }

  DataSurvey run() {
    look_at_greys();
    if (labels_) look_at_labels();
    return result_;
  }

 private:
  void look_at_greys() {
    GreySurvey& grey = result_.grey;
    const Index3& shape = result_.raw.shape;
    Box box = middle_of(Box::of_shape(shape));
    std::vector<SectionGrey> sections;
    SectionGrey all;
    grey.least = std::numeric_limits<double>::infinity();
    grey.most = -grey.least;
    for (const std::int64_t z : spread_sections(0, shape.z)) {
      box.begin.z = z;
      box.end.z = z + 1;
      const SectionGrey& one = sections.emplace_back(SectionGrey::of(z, greys_of(raw_->read(box))));
      all.sum += one.sum;
      all.squares += one.squares;
      all.count += one.count;
      grey.least = std::min(grey.least, one.least);
      grey.most = std::max(grey.most, one.most);
    }
    grey.sections = static_cast<std::int64_t>(sections.size());
    grey.mean = all.mean();
    grey.deviation = all.deviation();
    if (!(grey.most > grey.least)) {
      throw UsageError(fmt::format("{} has the value {} everywhere: is it the right volume?",
                                   result_.raw.name.text(), all.count > 0 ? grey.least : 0));
    }
    grey.blank = blank_sections(sections);
  }

  void look_at_labels() {
    LabelSurvey& found = result_.found;
    Box box = middle_of(found.covered);
    std::vector<std::int64_t> annotated;
    const std::vector<std::int64_t> sections = spread_sections(found.covered.begin.z, found.covered.end.z);
    const std::size_t step = std::max<std::size_t>(1, sections.size() / kSectionsWithObjects),
                      wide_step = std::max<std::size_t>(1, sections.size() / kSectionsWithNeighbours);
    for (const std::int64_t z : sections) {
      box.begin.z = z;
      box.end.z = z + 1;
      const VoxelBuffer labels = labels_->volume->read(box);
      const std::vector<LabelId> ids = ids_of(labels);
      if (!count_ids(ids)) continue;
      const VoxelBuffer raw = raw_->read(box);
      const std::vector<float> greys = greys_of(raw);
      if (annotated.empty()) require_not_exchanged(labels, result_.labels->name, raw, result_.raw.name);
      zero_.add_greys(zero_of(ids), greys);
      if (annotated.size() % wide_step == 0)
        fit_.add(zero_with_borders(ids, box.shape().x), greys, box.shape().y, box.shape().x);
      if (annotated.size() % step == 0) count_objects(ids, box.shape());
      if (annotated.size() % wide_step == 0) {
        compare_with_neighbours(ids, greys, box);
        compare_with_next(ids, box);
      }
      annotated.push_back(z);
    }
    if (annotated.empty()) {
      throw UsageError(fmt::format(
          "the labels {} hold one value in every section{}: there is nothing to learn from them",
          result_.labels->name.text(),
          counts_.empty() ? "" : fmt::format(", such as {}", label_id_text(counts_.begin()->first))));
    }
    found.annotated = runs_of(annotated, sections);
    conclude();
  }

  /// Counts the ids of a section. Whether it has more than one.
  bool count_ids(const std::vector<LabelId>& ids) {
    bool several = false;
    std::map<LabelId, std::int64_t> own;
    for (std::size_t i = 0; i < ids.size();) {
      std::size_t next = i;
      while (next < ids.size() && ids[next] == ids[i])
        ++next;
      own[ids[i]] += static_cast<std::int64_t>(next - i);
      i = next;
    }
    several = own.size() > 1;
    for (const auto& [id, count] : own) {
      if (is_negative_id(id)) {
        result_.found.negative = id;
      } else if (several && (static_cast<std::int64_t>(counts_.size()) < LabelSurvey::kMostIds ||
                             counts_.count(id) != 0)) {
        counts_[id] += count;
      } else if (counts_.empty()) {
        counts_[id] += 0;  // for a message
      }
    }
    return several;
  }

  static std::vector<std::uint8_t> zero_of(const std::vector<LabelId>& ids) {
    std::vector<std::uint8_t> zero(ids.size());
    std::ranges::transform(ids, zero.begin(), [](LabelId id) -> std::uint8_t {
      return is_negative_id(id) ? 2 : id == 0 ? 1 : 0;
    });
    return zero;
  }

  /// As zero_of(), with the pixels at which two other ids touch.
  static std::vector<std::uint8_t> zero_with_borders(const std::vector<LabelId>& ids, std::int64_t width) {
    std::vector<std::uint8_t> zero = zero_of(ids);
    const auto step = static_cast<std::size_t>(width);
    const auto touch = [&](std::size_t a, std::size_t b) {
      const bool are_cells = ids[a] != 0 && ids[b] != 0 && !is_negative_id(ids[a]) && !is_negative_id(ids[b]);
      if (are_cells && ids[a] != ids[b]) zero[a] = zero[b] = 1;
    };
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (i % step > 0) touch(i - 1, i);
      if (i >= step) touch(i - step, i);
    }
    return zero;
  }

  /// Only where both neighbours exist, so that all places compare the same labels.
  void compare_with_neighbours(const std::vector<LabelId>& ids, const std::vector<float>& greys, Box box) {
    if (box.begin.z == 0 || box.end.z == result_.raw.shape.z) return;
    const auto at = [&](std::int64_t shift) {
      Box moved = box;
      moved.begin.z += shift;
      moved.end.z += shift;
      return greys_of(raw_->read(moved));
    };
    contrast_[0].add(ids, at(-1));
    contrast_[1].add(ids, greys);
    contrast_[2].add(ids, at(1));
  }

  /// Counts the voxels whose ids go on in the next section.
  void compare_with_next(const std::vector<LabelId>& ids, Box box) {
    if (box.end.z >= result_.found.covered.end.z) return;
    ++box.begin.z;
    ++box.end.z;
    const std::vector<LabelId> next = ids_of(labels_->volume->read(box));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == 0 || next[i] == 0 || is_negative_id(ids[i]) || is_negative_id(next[i])) continue;
      compared_ += 1;
      continued_ += ids[i] == next[i] ? 1 : 0;
    }
  }

  /// The place, relative to the labels, of the raw sections that they fit clearly better; 0 where none does.
  /// In a stack of thin sections all three fit nearly alike.
  void find_shift() {
    constexpr double kClearlyBetter = 1.3, kLeastContrast = 0.3;  // the second in deviations
    LabelSurvey& found = result_.found;
    found.contrast = contrast_[1].value();
    for (const std::int64_t shift : {-1, 1}) {
      const double there = contrast_[static_cast<std::size_t>(shift + 1)].value();
      const bool is_clear =
          there > kClearlyBetter * contrast_[1].value() && there > kLeastContrast * result_.grey.deviation;
      if (!is_clear || there <= found.contrast_there) continue;
      found.shift = shift;
      found.contrast_there = there;
    }
  }

  /// Counts the pieces of each id, and of the voxels that are 0.
  void count_objects(const std::vector<LabelId>& ids, const Index3& shape) {
    zero_.add_pieces(zero_of(ids), shape.y, shape.x);
    std::vector<std::uint8_t> mask(ids.size());
    std::map<LabelId, bool> present;
    for (const LabelId id : ids) {
      if (id != 0 && !is_negative_id(id)) present[id] = true;
    }
    if (static_cast<std::int64_t>(present.size()) > kMostClassIds) return;  // cells in any case
    for (const auto& one_present : present) {
      const LabelId id = one_present.first;
      std::transform(ids.begin(), ids.end(), mask.begin(), [id](LabelId one) { return one == id ? 1 : 0; });
      pieces_ += label_components(mask, shape.y, shape.x).count;
      pieces_of_ += 1;
    }
  }

  /// Sections that were not looked at are taken as the one before them.
  std::vector<Sections> runs_of(const std::vector<std::int64_t>& annotated,
                                const std::vector<std::int64_t>& looked_at) const {
    std::vector<Sections> runs;
    for (const std::int64_t z : annotated) {
      const auto place = std::ranges::find(looked_at, z) - looked_at.begin();
      const std::int64_t end = place + 1 < std::ssize(looked_at)
                                   ? looked_at[static_cast<std::size_t>(place) + 1]
                                   : result_.found.covered.end.z;
      if (!runs.empty() && runs.back().end == z) {
        runs.back().end = end;
      } else {
        runs.push_back({z, end});
      }
    }
    return runs;
  }

  void conclude() {
    LabelSurvey& found = result_.found;
    double all = 0;
    for (const auto& [id, count] : counts_)
      all += static_cast<double>(count);
    std::erase_if(counts_, [](const auto& one) { return one.second == 0; });
    found.id_count = static_cast<std::int64_t>(counts_.size());
    for (const auto& [id, count] : counts_) {
      if (std::ssize(found.ids) > kMostClassIds) break;
      found.ids.push_back(id);
      found.shares.push_back(static_cast<double>(count) / all);
    }
    if (const auto zero = counts_.find(0); zero != counts_.end())
      found.zero_share = static_cast<double>(zero->second) / all;
    decide_kind();
    found.grey_of_zero = zero_.mean_of_zero();
    found.grey_above_zero = zero_.mean_of_others();
    found.misfit = fit_.doubt();
    found.inverted = found.id_count == 2 && zero_.is_interior(result_.grey.deviation);
    find_shift();
    if (compared_ > 0) found.continued_share = continued_ / compared_;
  }

  void decide_kind() {
    LabelSurvey& found = result_.found;
    if (found.id_count <= 2) return;
    const bool from_zero_on = found.ids.front() == 0 && found.ids.back() + 1 == found.ids.size();
    const bool in_pieces = found.id_count <= kMostClassIds && pieces_ > kPiecesOfACell * pieces_of_;
    found.kind = in_pieces ? LabelKind::classes : LabelKind::instances;
    if (!in_pieces) return;
    if (from_zero_on)
      found.classes = found.id_count;
    else
      found.perhaps_ignored = std::ranges::binary_search(found.ids, LabelId{1}) || found.id_count > 3
                                  ? found.ids.back()
                                  : found.ids[1];
  }

  std::unique_ptr<Volume> raw_;
  std::optional<PlacedVolume> labels_;
  DataSurvey result_;
  std::map<LabelId, std::int64_t> counts_;
  ZeroLook zero_;
  LabelFit fit_;
  std::array<Contrast, 3> contrast_;  ///< with the raw section before, of and after the labels
  double pieces_ = 0, pieces_of_ = 0;
  double compared_ = 0, continued_ = 0;  ///< voxels
};

}  // namespace

DataSurvey survey_data(const DatasetName& raw, const std::optional<DatasetName>& labels) {
  return Survey(raw, labels).run();
}

SectionSplit split_sections(const std::vector<Sections>& annotated) {
  SectionSplit split;
  std::int64_t all = 0;
  for (const Sections& one : annotated)
    all += one.count();
  if (all < 2) {
    split.train = split.validation = annotated;
    split.one_section = true;
    return split;
  }
  std::int64_t held_out = std::max<std::int64_t>(1, all / 5);
  for (auto one = annotated.rbegin(); one != annotated.rend(); ++one) {
    const std::int64_t from_here = std::min(held_out, one->count());
    held_out -= from_here;
    if (from_here > 0) split.validation.insert(split.validation.begin(), {one->end - from_here, one->end});
    if (from_here < one->count()) split.train.insert(split.train.begin(), {one->begin, one->end - from_here});
  }
  return split;
}

}  // namespace tessera
