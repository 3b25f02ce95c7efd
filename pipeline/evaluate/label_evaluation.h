#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/evaluate/evaluation_volumes.h"
#include "pipeline/evaluate/thinned_objects.h"
#include "workers/metrics/class_scores.h"
#include "workers/metrics/label_scores.h"

namespace tessera {

/// The result for ids of objects.
struct LabelEvaluation {
  EvaluationRequest request;
  SectionRange sections;
  PixelBounds bounds;              ///< of each section
  LabelSums volume;                ///< 3-D: an id is one object in all sections; see has_volume()
  bool within_sections = false;    ///< the result says that its objects do not go on through the sections
  std::vector<LabelSums> section;  ///< 2-D: an id is one object per section
  LabelSums pooled;                ///< the sums of `section`
  /// Of each section, up to 2^26 voxels; else empty.
  std::vector<ThinnedSums> thinned;
  WorstObjects worst;            ///< of the volume
  std::int64_t table_pairs = 0;  ///< pairs of labels found, summed over the ranks
  EvaluationRun run;

  /// Whether there are scores of objects in 3-D.
  bool has_volume() const { return !request.objects_of_classes && !within_sections; }
  /// The sections, counted from `sections.begin`, by their variation of information, the worst one first.
  std::vector<std::int64_t> from_worst() const;
  std::vector<std::string> doubts() const { return doubts_about(request, sections, bounds); }
};

/// The true objects of classes are found in whole sections, of at most this many pixels.
constexpr std::int64_t kMostPixelsOfClasses = std::int64_t{1} << 28;

/// Collective. Compares ids of objects in blocks of a few MiB: a rank holds blocks and its share of the table
/// of label pairs, never a whole volume. The result (all but `run`) is the same on every rank and for any
/// number of ranks. The root writes the JSON file of the request; there are no pictures. Errors, on every
/// rank: UsageError when shapes, types or sections do not fit, or with objects_of_classes where
/// a section has more than kMostPixelsOfClasses; Error when a volume cannot be read.
LabelEvaluation evaluate_labels(const EvaluationRequest& request, const Communicator& world);

/// The result for ids of classes.
struct ClassEvaluation {
  EvaluationRequest request;
  SectionRange sections;
  PixelBounds bounds;                    ///< of each section
  ConfusionMatrix matrix{1};             ///< as many classes as occur
  std::vector<ConfusionMatrix> section;  ///< each with as many classes as `matrix`
  EvaluationRun run;

  /// Why accuracy and means are undefined: without at least two true classes there is nothing to
  /// distinguish. "" otherwise.
  std::string missing() const;
  /// The sections, counted from `sections.begin`, by their mean IoU, the worst one first.
  std::vector<std::int64_t> from_worst() const;
  std::vector<std::string> doubts() const { return doubts_about(request, sections, bounds); }
};

/// Collective; see evaluate_labels. Further errors: Error for a class id of 256 or more.
ClassEvaluation evaluate_classes(const EvaluationRequest& request, const Communicator& world);

/// Tables as text, and all scores as JSON (docs/scores.md).
std::string evaluation_text(const LabelEvaluation& evaluation);
std::string evaluation_json(const LabelEvaluation& evaluation);
std::string evaluation_text(const ClassEvaluation& evaluation);
std::string evaluation_json(const ClassEvaluation& evaluation);

}  // namespace tessera
