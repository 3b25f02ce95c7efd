#include "pipeline/evaluate/evaluation_request.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "io/base/error.h"
#include "io/base/nearest_word.h"

namespace tessera {
namespace {

constexpr std::int64_t kVoxelsOfAllScores = std::int64_t{1} << 28;

/// The flag of a group; null for the scores of pixels, which are always computed.
bool* flag_of(ScoreGroup group, EvaluationScores& scores) {
  switch (group) {
    case ScoreGroup::rand:
      return &scores.section.rand;
    case ScoreGroup::thin:
      return &scores.section.thin;
    case ScoreGroup::warping:
      return &scores.section.warping;
    case ScoreGroup::objects:
      return &scores.section.objects;
    case ScoreGroup::calibration:
      return &scores.calibration;
    case ScoreGroup::pixel:
      break;
  }
  return nullptr;
}

/// "0 to 3, 7" of ascending sections.
std::string runs_text(const std::vector<std::int64_t>& sections) {
  constexpr std::size_t kMost = 8;
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < sections.size();) {
    std::size_t end = i + 1;
    while (end < sections.size() && sections[end] == sections[end - 1] + 1)
      ++end;
    runs.push_back(end == i + 1 ? std::to_string(sections[i])
                                : fmt::format("{} to {}", sections[i], sections[end - 1]));
    i = end;
  }
  const bool is_long = runs.size() > kMost;
  runs.resize(std::min(runs.size(), kMost));
  return fmt::format("{}{}", fmt::join(runs, ", "), is_long ? ", ..." : "");
}

}  // namespace

std::vector<std::string> doubts_about(const EvaluationRequest& request, const SectionRange& sections,
                                      const PixelBounds& bounds) {
  std::vector<std::int64_t> trained;
  for (std::int64_t z = sections.begin; z < sections.end; ++z) {
    const Box scored{{z, bounds.y_begin, bounds.x_begin}, {z + 1, bounds.y_end, bounds.x_end}};
    if (std::ranges::any_of(request.trained_on,
                            [&](const Box& box) { return !intersection(box, scored).empty(); }))
      trained.push_back(z);
  }
  if (trained.empty()) return {};
  return {fmt::format(
      "the network was trained on {} of the {} scored sections ({}): their scores say little about other "
      "sections. Score held-out sections alone: set evaluate.sections, or pass --sections.",
      trained.size(), sections.end - sections.begin, runs_text(trained))};
}

EvaluationKind evaluation_kind(const std::string& name) {
  const std::optional<EvaluationKind> kind = value_named<EvaluationKind>(name);
  if (!kind) {
    throw UsageError(fmt::format(
        "'{}' is no kind of prediction: auto, probability, labels (ids of objects) or classes", name));
  }
  return *kind;
}

std::vector<std::string> EvaluationScores::names() const {
  std::vector<std::string> names;
  for (const ScoreGroup group : values_of<ScoreGroup>()) {
    EvaluationScores copy = *this;
    const bool* chosen = flag_of(group, copy);
    if (chosen == nullptr || *chosen) names.push_back(name_of(group));
  }
  return names;
}

std::optional<EvaluationScores> evaluation_scores(const std::vector<std::string>& names) {
  if (names == std::vector<std::string>{"auto"}) return std::nullopt;
  EvaluationScores scores{{false, false, false, false}, false};
  for (const std::string& name : names) {
    const std::optional<ScoreGroup> group = value_named<ScoreGroup>(name);
    if (!group) {
      const auto meant = nearest_word(name, names_of<ScoreGroup>());
      throw UsageError(fmt::format("'{}' is no score{}: auto, or a list of {}", name,
                                   meant ? "; did you mean '" + *meant + "'?" : "",
                                   fmt::join(names_of<ScoreGroup>(), ", ")));
    }
    if (bool* chosen = flag_of(*group, scores)) *chosen = true;
  }
  return scores;
}

EvaluationScores automatic_scores(std::int64_t voxels) {
  EvaluationScores scores;
  if (voxels > kVoxelsOfAllScores) scores.section.thin = scores.section.warping = false;
  return scores;
}

}  // namespace tessera
