#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/base/json_text.h"
#include "pipeline/evaluate/evaluation_request.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "workers/metrics/class_scores.h"
#include "workers/metrics/object_scores.h"

namespace tessera {

using Json = nlohmann::ordered_json;

// Parts of the JSON files of all kinds of evaluation (docs/scores.md).

/// What was compared, as the first lines of the text.
std::string head_text(const EvaluationRequest& request, EvaluationKind kind, const SectionRange& sections,
                      const PixelBounds& bounds);

/// kind, prediction, labels, section_range, how much of the prediction is done, and what the labels mean:
/// label_kind, inverted_labels, ignore_label, label_class, region (the scored pixels), frame, classes.
Json json_of(const EvaluationRequest& request, EvaluationKind kind, const SectionRange& sections,
             const PixelBounds& bounds);
/// ranks, seconds, stage_seconds, peak_memory_bytes_per_rank.
Json json_of(const EvaluationRun& run);
/// objects_true, objects_predicted, seg and, by overlap, precision, recall, F1.
Json json_of(const ObjectSums& sums);
/// Rows of the truth, columns of the prediction.
Json json_of(const ConfusionMatrix& matrix);
Json json_of(const ClassScores& scores);

/// The number of sections of `count` that are marked as the worst: a quarter, 1 to 3; 0 of a single section.
std::size_t worst_count(std::size_t count);

}  // namespace tessera
