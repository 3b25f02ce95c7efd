#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/report/run_record.h"
#include "pipeline/run/overlay.h"

namespace tessera {

/// The pictures of a section of an evaluated probability: raw, labels, errors at its best threshold over raw.
struct DrawnSection {
  std::array<RgbImage, 3> panels;
  double threshold = 0;
};

/// Reads raw, labels and prediction of one section from the volumes that the evaluation names, relative to
/// the working directory. Without a raw volume of the same shape the probability is shown instead.
/// Errors: Error (or UsageError) when prediction or labels cannot be read.
DrawnSection draw_section(const RunRecord& record, std::int64_t section);

/// The image as a PNG in memory. Errors: Error.
std::vector<std::byte> png_of(const RgbImage& image);

}  // namespace tessera
