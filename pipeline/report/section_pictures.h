#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/report/run_record.h"
#include "pipeline/run/overlay.h"

namespace tessera {

/// A section of an evaluated probability, drawn: raw, labels, errors at its best threshold over raw.
struct DrawnSection {
  std::array<RgbImage, 3> panels;
  double threshold = 0;
};

/// Reads raw, labels and prediction of one section from the volumes that the evaluation names, relative to
/// the folder that tessera was started in. Without a raw volume that fits, the probability stands in for it.
/// Errors: Error (or UsageError) where prediction or labels cannot be read any more.
DrawnSection draw_section(const RunRecord& record, std::int64_t section);

/// The image as a PNG in memory. Errors: Error.
std::vector<std::byte> png_of(const RgbImage& image);

}  // namespace tessera
