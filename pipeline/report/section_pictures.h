#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/evaluate/evaluation_report.h"
#include "pipeline/report/run_record.h"
#include "pipeline/run/overlay.h"

namespace tessera {

/// The request that an evaluation's file describes, of this kind. Errors: UsageError, Error.
EvaluationRequest request_in(const Json& evaluation, EvaluationKind kind);

/// The pictures of a section of an evaluated probability: raw, labels, errors at its best threshold over raw.
struct DrawnSection {
  std::array<RgbImage, 3> panels;
  double threshold = 0;
};

/// Reads raw, labels and prediction of one section from the volumes that the evaluation names, relative to
/// the working directory. Without a raw volume of the same shape the probability is shown instead.
/// Errors: Error (or UsageError) when prediction or labels cannot be read.
DrawnSection draw_section(const RunRecord& record, std::int64_t section);

/// The layers of a section of an evaluated probability, with its best threshold.
struct ReadSection {
  SectionLayers layers;
  double threshold = 0;
};
/// Reads them, as draw_section().
ReadSection read_section(const RunRecord& record, std::int64_t section);

/// The image as a PNG in memory. Errors: Error.
std::vector<std::byte> png_of(const RgbImage& image);
/// Grey pixels, row-major. Errors: Error.
std::vector<std::byte> png_of_grey(std::span<const std::uint8_t> pixels, std::int64_t height,
                                   std::int64_t width);
/// Overlay classes in their colours, transparent where nothing is shown. Errors: Error.
std::vector<std::byte> png_of_overlay(std::span<const OverlayClass> pixels, std::int64_t height,
                                      std::int64_t width);
/// An RGB image of a PNG file. Errors: Error.
RgbImage read_rgb(const std::filesystem::path& file);

}  // namespace tessera
