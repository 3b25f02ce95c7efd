#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "io/geometry/box.h"
#include "io/geometry/section_range.h"
#include "io/stores/result_completeness.h"
#include "io/volume/dataset_name.h"
#include "io/volume/label_id.h"
#include "io/volume/volume.h"
#include "workers/metrics/threshold_scores.h"
#include "workers/samples/sample_warp.h"
#include "workers/samples/training_labels.h"

namespace tessera {

/// The content of the prediction, which decides the scores.
enum class EvaluationKind {
  automatic,    ///< by the prediction's type: float, uint8 and uint16 are a probability, uint32 and uint64
                ///< labels
  probability,  ///< of the interior: float in [0, 1], or uint8 or uint16 for that range
  labels,       ///< ids of objects; 0 is background
  classes       ///< ids of classes, 0 to 255
};
constexpr auto enum_names(EvaluationKind) {
  return std::to_array<EnumName<EvaluationKind>>({{EvaluationKind::automatic, "auto"},
                                                  {EvaluationKind::probability, "probability"},
                                                  {EvaluationKind::labels, "labels"},
                                                  {EvaluationKind::classes, "classes"}});
}
/// Errors: UsageError for a name that the table lacks.
EvaluationKind evaluation_kind(const std::string& name);

/// Groups of scores of a probability. The scores of pixels are always computed.
enum class ScoreGroup { pixel, rand, thin, warping, objects, calibration };
constexpr auto enum_names(ScoreGroup) {
  return std::to_array<EnumName<ScoreGroup>>({{ScoreGroup::pixel, "pixel"},
                                              {ScoreGroup::rand, "rand"},
                                              {ScoreGroup::thin, "thin"},
                                              {ScoreGroup::warping, "warping"},
                                              {ScoreGroup::objects, "objects"},
                                              {ScoreGroup::calibration, "calibration"}});
}

/// The groups that are computed beside the scores of pixels.
struct EvaluationScores {
  ScoreChoice section = ScoreChoice::all();
  bool calibration = true;  ///< with the precision-recall curve
  std::vector<std::string> names() const;
};
/// "auto" alone (the result is none), or names of groups. Errors: UsageError.
std::optional<EvaluationScores> evaluation_scores(const std::vector<std::string>& names);
/// The groups of `auto`: all up to 2^28 voxels. Above, thinning and warping would take hours and are left
/// out.
EvaluationScores automatic_scores(std::int64_t voxels);

/// A prediction, the labels to compare it with, and what to compute.
struct EvaluationRequest {
  EvaluationKind kind = EvaluationKind::automatic;
  DatasetName prediction;
  DatasetName labels;  ///< whole numbers; above 0 is interior, or ids of objects or classes
  // What the labels mean: as LabelOptions.
  LabelKind label_kind = LabelKind::classes;
  bool invert_labels = false;           ///< 0 is interior instead
  std::optional<LabelId> ignore_label;  ///< voxels of this id are in no sum
  std::optional<LabelId> label_class;   ///< this class is the interior; of a probability
  /// Of predicted objects: the labels are classes, and the true objects are the 4-connected components of the
  /// interior, section by section. Then there are scores of sections only.
  bool objects_of_classes = false;
  std::optional<std::int64_t> classes;  ///< of the network that made the prediction; none: not known
  /// The volume in whose voxels region and sections are given; prediction and labels have their places in it.
  /// None: the labels.
  std::optional<VolumeInfo> frame;
  std::optional<PixelBounds> region;     ///< the pixels of each section that are scored; none: all
  std::optional<SectionRange> sections;  ///< none: all
  int thresholds = 11;
  ResultCompleteness completeness;         ///< of the prediction; on the root only
  std::optional<EvaluationScores> scores;  ///< none: automatic_scores
  std::optional<DatasetName> raw;          ///< for the pictures; without it they show the probability
  /// Voxels, in the frame, that the network of the prediction was trained on, as far as that is known.
  std::vector<Box> trained_on;
  bool raw_may_not_fit =
      false;  ///< a raw volume with several channels or another shape is left out with a warning
  bool any_channels = false;  ///< the prediction may have channels: its voxels are not read here
  std::optional<std::filesystem::path> json_file;
  std::optional<std::filesystem::path> picture_folder;

  /// Whether class ids are compared with the classes that the network is trained on, not with the ids in the
  /// labels.
  bool has_targets() const { return classes || label_kind == LabelKind::instances; }
  /// The definition of the targets: of a probability, two classes.
  LabelOptions label_options() const {
    return {classes.value_or(2), label_kind, ignore_label, invert_labels, label_class};
  }
};

/// A sentence for each sign, beside the scores themselves, that they mean little: scored sections that the
/// network was trained on. `bounds`: the scored pixels of each section.
std::vector<std::string> doubts_about(const EvaluationRequest& request, const SectionRange& sections,
                                      const PixelBounds& bounds);

}  // namespace tessera
