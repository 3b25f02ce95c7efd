#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/volume_reader.h"
#include "pipeline/evaluation.h"

namespace tessera {

/// The tables for people: the volume per threshold, the best of each score, each section at its own best
/// threshold with the worst ones marked.
std::string evaluation_text(const Evaluation& evaluation);

/// Everything, each section at each threshold included, as JSON.
std::string evaluation_json(const Evaluation& evaluation);

/// Writes the JSON aside and puts it in place. Errors: Error.
void write_json(const Evaluation& evaluation, const std::filesystem::path& file);

/// Writes the pictures of the first, the worst and the best section at their best thresholds, as
/// `section_0016_worst.png`. Errors: Error.
void write_pictures(const Evaluation& evaluation, VolumeReader& prediction, VolumeReader& labels,
                    const std::filesystem::path& folder);

/// 1 where the label is interior, by the request's label_class and invert_labels; else 0.
std::vector<std::uint8_t> interior_mask(const VoxelBuffer& labels, const EvaluationRequest& request);

}  // namespace tessera
