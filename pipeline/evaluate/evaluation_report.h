#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "io/volume/volume.h"
#include "pipeline/evaluate/evaluation.h"
#include "pipeline/run/overlay.h"

namespace tessera {

/// The tables as text: the volume per threshold, the best of each score, each section at its own best
/// threshold with the worst ones marked.
std::string evaluation_text(const Evaluation& evaluation);

/// All scores, of each section at each threshold too, as JSON (docs/scores.md).
std::string evaluation_json(const Evaluation& evaluation);

/// Writes the pictures of the first, the worst and the best section at their best thresholds, as
/// `section_0016_worst.png`. Errors: Error.
void write_pictures(const Evaluation& evaluation, EvaluatedVolumes& volumes, Volume* raw,
                    const std::filesystem::path& folder);

/// The scored pixels of one section, row-major.
struct SectionLayers {
  std::int64_t height = 0, width = 0;
  std::vector<float> raw;  ///< the probability where there is no raw volume
  bool has_raw = false;
  std::vector<std::uint8_t> truth;  ///< as label_classes()
  std::vector<double> probability;
};
/// Reads them. `raw` may be null, and is in the volumes' coordinates. Errors: Error.
SectionLayers layers_of_section(std::int64_t section, const EvaluationRequest& request,
                                EvaluatedVolumes& volumes, Volume* raw);

/// The pictures of the scored pixels of one section: raw (the probability when `raw` is null), labels, errors
/// at `threshold` over raw. `raw` is in the volumes' coordinates. Errors: Error.
std::array<RgbImage, 3> panels_of_section(std::int64_t section, const EvaluationRequest& request,
                                          EvaluatedVolumes& volumes, Volume* raw, double threshold);

}  // namespace tessera
