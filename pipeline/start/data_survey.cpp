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

namespace tessera {
namespace {

constexpr std::int64_t kMostSections = 256, kMostSide = 1024;
/// Sections whose objects are counted.
constexpr std::size_t kSectionsWithObjects = 4;
/// More ids than this are ids of cells.
constexpr std::int64_t kMostClassIds = 16;
/// Pieces of one id in one section: more on average are a class, not a cell.
constexpr double kPiecesOfACell = 2.5;

/// The middle of `box`, at most kMostSide wide.
Box middle_of(Box box) {
  for (int axis = 1; axis < 3; ++axis) {
    const std::int64_t more = box.end[axis] - box.begin[axis] - kMostSide;
    if (more <= 0) continue;
    box.begin[axis] += more / 2;
    box.end[axis] = box.begin[axis] + kMostSide;
  }
  return box;
}

std::vector<std::int64_t> spread(std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> sections;
  const std::int64_t count = std::min(end - begin, kMostSections);
  for (std::int64_t i = 0; i < count; ++i)
    sections.push_back(begin + i * (end - begin) / count);
  return sections;
}

/// The first channel as numbers.
std::vector<float> greys_of(const VoxelBuffer& section) {
  std::vector<float> greys(static_cast<std::size_t>(volume_of(section.shape)));
  with_voxel_type(section.type, [&](auto zero) {
    const auto voxels = section.as<decltype(zero)>();
    std::transform(voxels.begin(), voxels.begin() + static_cast<std::ptrdiff_t>(greys.size()), greys.begin(),
                   [](auto voxel) { return static_cast<float>(voxel); });
  });
  return greys;
}

std::vector<LabelId> ids_of(const VoxelBuffer& section) {
  std::vector<LabelId> ids(static_cast<std::size_t>(volume_of(section.shape)));
  with_voxel_type(section.type, [&](auto zero) {
    const auto voxels = section.as<decltype(zero)>();
    std::transform(voxels.begin(), voxels.end(), ids.begin(),
                   [](auto voxel) { return static_cast<LabelId>(voxel); });
  });
  return ids;
}

struct SectionGrey {
  std::int64_t z = 0;
  double mean = 0, deviation = 0;
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
    double sum = 0, squares = 0, count = 0;
    grey.least = std::numeric_limits<double>::infinity();
    grey.most = -grey.least;
    for (const std::int64_t z : spread(0, shape.z)) {
      box.begin.z = z;
      box.end.z = z + 1;
      double own = 0, own_squares = 0, own_count = 0;
      for (const float value : greys_of(raw_->read(box))) {
        if (!std::isfinite(value)) continue;
        own += value;
        own_squares += double{value} * value;
        own_count += 1;
        grey.least = std::min<double>(grey.least, value);
        grey.most = std::max<double>(grey.most, value);
      }
      const double mean = own_count > 0 ? own / own_count : 0;
      const double variance = own_count > 0 ? std::max(0.0, own_squares / own_count - mean * mean) : 0;
      sections.push_back({z, mean, std::sqrt(variance)});
      sum += own;
      squares += own_squares;
      count += own_count;
    }
    grey.sections = static_cast<std::int64_t>(sections.size());
    grey.mean = count > 0 ? sum / count : 0;
    grey.deviation = count > 0 ? std::sqrt(std::max(0.0, squares / count - grey.mean * grey.mean)) : 0;
    if (!(grey.most > grey.least)) {
      throw UsageError(fmt::format("{} has the value {} everywhere: is it the right volume?",
                                   result_.raw.name.text(), count > 0 ? grey.least : 0));
    }
    note_blank(sections);
  }

  /// Sections with less than a twentieth of the usual contrast.
  void note_blank(const std::vector<SectionGrey>& sections) {
    std::vector<double> deviations;
    for (const SectionGrey& one : sections)
      deviations.push_back(one.deviation);
    std::ranges::sort(deviations);
    const double usual = deviations[3 * deviations.size() / 4];
    for (const SectionGrey& one : sections) {
      if (one.deviation < usual / 20) result_.grey.blank.push_back(one.z);
    }
  }

  void look_at_labels() {
    LabelSurvey& found = result_.found;
    Box box = middle_of(found.covered);
    std::vector<std::int64_t> annotated;
    const std::vector<std::int64_t> sections = spread(found.covered.begin.z, found.covered.end.z);
    for (const std::int64_t z : sections) {
      box.begin.z = z;
      box.end.z = z + 1;
      const std::vector<LabelId> ids = ids_of(labels_->volume->read(box));
      if (!count_ids(ids)) continue;
      annotated.push_back(z);
      compare_greys(ids, greys_of(raw_->read(box)));
      if (annotated.size() % std::max<std::size_t>(1, sections.size() / kSectionsWithObjects) == 1 ||
          sections.size() <= kSectionsWithObjects)
        count_objects(ids, box.shape());
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

  void compare_greys(const std::vector<LabelId>& ids, const std::vector<float>& greys) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (is_negative_id(ids[i]) || !std::isfinite(greys[i])) continue;
      const std::size_t side = ids[i] == 0 ? 0 : 1;
      grey_sum_[side] += greys[i];
      grey_count_[side] += 1;
    }
  }

  /// Counts the pieces of each id, and of the voxels that are 0.
  void count_objects(const std::vector<LabelId>& ids, const Index3& shape) {
    std::vector<std::uint8_t> mask(ids.size());
    std::transform(ids.begin(), ids.end(), mask.begin(), [](LabelId id) { return id == 0 ? 1 : 0; });
    const Components zero = label_components(mask, shape.y, shape.x);
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(zero.count) + 1, 0);
    for (const std::int32_t label : zero.labels)
      ++sizes[static_cast<std::size_t>(label)];
    sizes[0] = 0;
    zero_pixels_ += static_cast<double>(std::count(mask.begin(), mask.end(), 1));
    zero_largest_ += static_cast<double>(*std::ranges::max_element(sizes));
    std::map<LabelId, bool> present;
    for (const LabelId id : ids) {
      if (id != 0 && !is_negative_id(id)) present[id] = true;
    }
    if (static_cast<std::int64_t>(present.size()) > kMostClassIds) return;  // cells in any case
    for (const auto& [id, unused] : present) {
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
    const bool from_zero_on = found.ids.front() == 0 && found.ids.back() + 1 == found.ids.size();
    const bool few = found.id_count <= kMostClassIds;
    const bool of_classes = few && from_zero_on && pieces_ > kPiecesOfACell * pieces_of_;
    if (found.id_count > 2) {
      found.kind = of_classes ? LabelKind::classes : LabelKind::instances;
      if (of_classes) found.classes = found.id_count;
    }
    if (grey_count_[0] > 0) found.grey_of_zero = grey_sum_[0] / grey_count_[0];
    if (grey_count_[1] > 0) found.grey_above_zero = grey_sum_[1] / grey_count_[1];
    if (found.id_count != 2 || grey_count_[0] == 0) return;
    constexpr double kClearlyDarker = 0.3;  // deviations
    constexpr double kLargestPiece = 0.8;   // of the voxels that are 0
    found.inverted = found.grey_of_zero - found.grey_above_zero > kClearlyDarker * result_.grey.deviation &&
                     zero_largest_ < kLargestPiece * zero_pixels_;
  }

  std::unique_ptr<Volume> raw_;
  std::optional<PlacedVolume> labels_;
  DataSurvey result_;
  std::map<LabelId, std::int64_t> counts_;
  std::array<double, 2> grey_sum_{}, grey_count_{};
  double zero_pixels_ = 0, zero_largest_ = 0, pieces_ = 0, pieces_of_ = 0;
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
