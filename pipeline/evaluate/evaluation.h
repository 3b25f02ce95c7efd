#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/evaluate/evaluation_request.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "workers/metrics/calibration.h"
#include "workers/metrics/threshold_scores.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The result for a probability.
struct Evaluation {
  EvaluationRequest request;
  EvaluationScores scores;  ///< the computed groups
  SectionRange sections;
  PixelBounds bounds;                        ///< of each section
  ThresholdTable table;                      ///< of the sections from `sections.begin`
  std::vector<VolumeScores> volume;          ///< per threshold
  BestThresholds best;                       ///< of the volume
  ProbabilityHistogram histogram;            ///< empty without `scores.calibration`
  std::vector<CalibrationSums> calibration;  ///< per section; none without `scores.calibration`
  EvaluationRun run;

  /// The sums of all sections at a threshold.
  ThresholdSums pooled(std::size_t threshold) const;
  /// missing_in_truth() of the volume: then no score is defined.
  std::string missing() const { return missing_in_truth(pooled(0)); }
  /// A sentence for each sign that the scores mean nothing: hardly any pixel of a class, inverted labels.
  std::vector<std::string> doubts() const;
  /// The index of the threshold with the section's best F (Rand F) of the interior; the lowest among equals.
  std::size_t best_f(std::int64_t section) const;
  std::size_t best_rand(std::int64_t section) const;
  /// Whether the truth of a section has both classes.
  bool is_judged(std::int64_t section) const { return missing_in_truth(table.section(section)[0]).empty(); }
  /// The judged sections, counted from `sections.begin`, by their best F, the worst one first.
  std::vector<std::int64_t> from_worst() const;
};

/// Collective. Scores a probability. The ranks share the sections in slabs as deep as the stored chunks. The
/// result (all but `run`) is the same on every rank and for any number of ranks. The root writes the JSON
/// file and the pictures of the request. Errors, on every rank: UsageError when shapes, types or sections of
/// the volumes do not fit; Error with section and place for a NaN or a value outside [0, 1] in a float
/// prediction.
Evaluation evaluate_volumes(const EvaluationRequest& request, const Communicator& world);

}  // namespace tessera
