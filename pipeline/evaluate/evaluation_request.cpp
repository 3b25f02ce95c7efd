#include "pipeline/evaluate/evaluation_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"

namespace tessera {
namespace {

constexpr std::int64_t kVoxelsOfAllScores = std::int64_t{1} << 28;

}  // namespace

EvaluationKind evaluation_kind(const std::string& word) {
  if (word == "auto") return EvaluationKind::automatic;
  if (word == "probability") return EvaluationKind::probability;
  if (word == "labels") return EvaluationKind::labels;
  if (word == "classes") return EvaluationKind::classes;
  throw UsageError(fmt::format(
      "'{}' is no kind of prediction: auto, probability, labels (ids of objects) or classes", word));
}

std::string name_of(EvaluationKind kind) {
  switch (kind) {
    case EvaluationKind::probability:
      return "probability";
    case EvaluationKind::labels:
      return "labels";
    case EvaluationKind::classes:
      return "classes";
    case EvaluationKind::automatic:
      break;
  }
  return "auto";
}

std::vector<std::string> EvaluationScores::names() const {
  std::vector<std::string> names{"pixel"};
  if (section.rand) names.emplace_back("rand");
  if (section.thin) names.emplace_back("thin");
  if (section.warping) names.emplace_back("warping");
  if (section.objects) names.emplace_back("objects");
  if (calibration) names.emplace_back("calibration");
  return names;
}

std::optional<EvaluationScores> evaluation_scores(const std::vector<std::string>& words) {
  if (words == std::vector<std::string>{"auto"}) return std::nullopt;
  EvaluationScores scores{{false, false, false, false}, false};
  for (const std::string& word : words) {
    if (word == "rand")
      scores.section.rand = true;
    else if (word == "thin")
      scores.section.thin = true;
    else if (word == "warping")
      scores.section.warping = true;
    else if (word == "objects")
      scores.section.objects = true;
    else if (word == "calibration")
      scores.calibration = true;
    else if (word != "pixel") {
      const auto meant = nearest_word(word, {"pixel", "rand", "thin", "warping", "objects", "calibration"});
      throw UsageError(fmt::format(
          "'{}' is no score{}: auto, or a list of pixel, rand, thin, warping, objects, calibration", word,
          meant ? "; did you mean '" + *meant + "'?" : ""));
    }
  }
  return scores;
}

EvaluationScores automatic_scores(std::int64_t voxels) {
  EvaluationScores scores;
  if (voxels > kVoxelsOfAllScores) scores.section.thin = scores.section.warping = false;
  return scores;
}

}  // namespace tessera
