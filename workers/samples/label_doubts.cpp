#include "workers/samples/label_doubts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "io/base/error.h"
#include "workers/metrics/ignored_class.h"
#include "workers/samples/class_shares.h"

namespace tessera {
namespace {

constexpr std::size_t kSectionsWithPieces = 4;

std::string first_numbers(const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t kMost = 8;
  const std::vector<std::int64_t> first(
      numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(std::min(numbers.size(), kMost)));
  return fmt::format("{}{}", fmt::join(first, ", "), numbers.size() > kMost ? ", ..." : "");
}

bool has_two_classes(const TrainingDataOptions& options) {
  return options.label_kind == LabelKind::classes && options.classes <= 2;
}

/// "" when the labels have no more values than classes, or so many that they look like cells.
std::string values_doubt(const TrainingDataOptions& options, std::vector<LabelId> ids) {
  const std::vector<LabelId> all = ids;
  if (options.ignore_label) std::erase(ids, *options.ignore_label);
  if (!has_two_classes(options) || ids.size() <= 2 || ids.size() > kMostClassValues) return {};
  return fmt::format(
      "the labels {} hold {} different values ({}), and model.classes is {}: every value above 0 is class 1. "
      "If "
      "one of them marks voxels that are not annotated, set data.ignore_label to it. If they are classes, "
      "set "
      "model.classes; if they are ids of cells, set data.label_kind: instances.",
      options.labels.text(), all.size(), label_ids_text(all), options.classes);
}

}  // namespace

void LabelDoubts::add(std::int64_t z, const VoxelBuffer& raw, const VoxelBuffer& classes) {
  const std::vector<float> greys = greys_of(raw);
  greys_.push_back(SectionGrey::of(z, greys));
  if (options_.classes > 2) return;
  std::vector<std::uint8_t> zero(greys.size());
  std::ranges::transform(classes.as<std::uint8_t>(), zero.begin(), [](std::uint8_t c) -> std::uint8_t {
    return c == kIgnoredClass ? 2 : c == 0 ? 1 : 0;
  });
  fit_.add(zero, greys, classes.shape.y, classes.shape.x);
  if (!has_two_classes(options_)) return;
  zero_.add_greys(zero, greys);
  if (with_pieces_ == kSectionsWithPieces) return;
  ++with_pieces_;
  zero_.add_pieces(zero, classes.shape.y, classes.shape.x);
}

std::vector<std::string> LabelDoubts::texts(const std::vector<LabelId>& ids) const {
  std::vector<std::string> texts;
  if (const std::string doubt = values_doubt(options_, ids); !doubt.empty()) texts.push_back(doubt);
  SectionGrey all;
  for (const SectionGrey& one : greys_) {
    all.sum += one.sum;
    all.squares += one.squares;
    all.count += one.count;
  }
  if (zero_.is_interior(all.deviation())) {
    texts.push_back(fmt::format(
        "the labels {} are probably inverted: class 0 is brighter than class 1 (mean grey value {:.4g} "
        "against "
        "{:.4g}) and lies in many pieces, as the interior of cells does. {}",
        options_.labels.text(), zero_.mean_of_zero(), zero_.mean_of_others(),
        options_.invert_labels ? "Take data.invert_labels out." : "Set data.invert_labels: true."));
  }
  if (const std::string doubt = fit_.doubt(); !doubt.empty())
    texts.push_back(fmt::format("the labels {} {}", options_.labels.text(), doubt));
  if (const std::vector<std::int64_t> blank = blank_sections(greys_); !blank.empty()) {
    texts.push_back(fmt::format(
        "{} of the training sections of {} {} blank, or nearly: {}. Leave them out of data.train_sections.",
        blank.size(), options_.raw.text(), blank.size() == 1 ? "is" : "are", first_numbers(blank)));
  }
  return texts;
}

std::string label_ids_text(const std::vector<LabelId>& ids) {
  constexpr std::size_t kShownIds = 6;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < std::min(ids.size(), kShownIds); ++i)
    texts.push_back(label_id_text(ids[i]));
  return fmt::format("{}{}", fmt::join(texts, ", "), ids.size() > kShownIds ? ", ..." : "");
}

void require_not_exchanged(const VoxelBuffer& labels, const DatasetName& labels_name, const VoxelBuffer& raw,
                           const DatasetName& raw_name) {
  if (!look_exchanged(raw, labels, first_ids(labels).size())) return;
  throw UsageError(
      fmt::format("raw volume and labels look exchanged: {} (data.raw) has large areas of one value, as "
                  "labels do, and {} "
                  "(data.labels) changes from pixel to pixel, as grey values do. Exchange the two names.",
                  raw_name.text(), labels_name.text()));
}

}  // namespace tessera
