#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/volume/dataset_name.h"
#include "pipeline/run/command_line.h"
#include "workers/metrics/threshold_scores.h"

namespace tessera {

/// What the prediction holds, and so which scores it gets.
enum class EvaluationKind {
  automatic,    ///< by the prediction's type: float, uint8 and uint16 are a probability, uint32 and uint64
                ///< labels
  probability,  ///< of the interior: float in [0, 1], or uint8 or uint16 for that range
  labels,       ///< ids of objects, 0 being none
  classes       ///< ids of classes, 0 to 255
};
EvaluationKind evaluation_kind(
    const std::string& word);  ///< auto, probability, labels, classes. Errors: UsageError.
std::string name_of(EvaluationKind kind);

/// The scores of a probability that are worked out beside those of pixels.
struct EvaluationScores {
  ScoreChoice section = ScoreChoice::all();
  bool calibration = true;  ///< with the precision-recall curve
  std::vector<std::string> names() const;
};
/// "auto" alone, or any of pixel, rand, thin, warping, objects, calibration. Nothing for auto. Errors:
/// UsageError.
std::optional<EvaluationScores> evaluation_scores(const std::vector<std::string>& words);
/// Those of `auto`: all up to 2^28 voxels; beyond, where they would take hours, those without thinning and
/// warping.
EvaluationScores automatic_scores(std::int64_t voxels);

/// What to compare with what.
struct EvaluationRequest {
  EvaluationKind kind = EvaluationKind::automatic;
  DatasetName prediction;
  DatasetName labels;          ///< integers; above 0 is interior, or ids of objects or classes
  bool invert_labels = false;  ///< 0 is interior instead; of a probability
  std::optional<std::int64_t>
      label_class;  ///< labels are class ids, and this one is the interior; of a probability
  std::optional<SectionRange> sections;  ///< of both volumes; none: all
  int thresholds = 11;
  std::optional<EvaluationScores> scores;  ///< none: automatic_scores
  std::optional<DatasetName> raw;          ///< for the pictures; without it they show the probability
  bool raw_may_not_fit =
      false;  ///< a raw volume of several channels or another shape is left out, with a warning
  std::optional<std::filesystem::path> json_file;
  std::optional<std::filesystem::path> picture_folder;
};

}  // namespace tessera
