#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/dataset_name.h"
#include "pipeline/command_line.h"
#include "workers/metrics/threshold_scores.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What to compare with what.
struct EvaluationRequest {
  /// Probability of the interior: float in [0, 1], or uint8 or uint16 for that range.
  DatasetName prediction;
  DatasetName labels;          ///< integers; above 0 is interior
  bool invert_labels = false;  ///< 0 is interior instead
  std::optional<std::int64_t> label_class;  ///< labels are class ids, and this one is the interior
  std::optional<SectionRange> sections;  ///< of both volumes; none: all
  int thresholds = 11;
  std::optional<DatasetName> raw;  ///< for the pictures; without it they show the probability
  bool raw_may_not_fit = false;    ///< a raw volume of several channels or another shape is left out, with a warning
  std::optional<std::filesystem::path> json_file;
  std::optional<std::filesystem::path> picture_folder;
};

/// What came out.
struct Evaluation {
  EvaluationRequest request;
  SectionRange sections;
  ThresholdTable table;              ///< of the sections from `sections.begin`
  std::vector<VolumeScores> volume;  ///< per threshold
  BestThresholds best;               ///< of the volume

  /// The index of the threshold with the section's best F (Rand F) of the interior; the lowest among equals.
  std::size_t best_f(std::int64_t section) const;
  std::size_t best_rand(std::int64_t section) const;
  /// The sections, counted from `sections.begin`, by their best F, the worst one first.
  std::vector<std::int64_t> from_worst() const;
};

/// Collective. Scores the sections, shared out over the ranks in slabs as deep as the stored chunks; the
/// result is the same on every rank and for any number of ranks. Writes the JSON file and the pictures of
/// the request (on the root).
/// Errors, on every rank: UsageError where the volumes do not fit each other, the sections or their role;
/// Error for a NaN or a value outside [0, 1] in a float prediction, naming section and place.
Evaluation evaluate_volumes(const EvaluationRequest& request, const Communicator& world);

}  // namespace tessera
