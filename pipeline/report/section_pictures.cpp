#include "pipeline/report/section_pictures.h"

#include <fmt/format.h>
#include <png.h>

#include <cmath>
#include <memory>

#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "pipeline/evaluate/evaluation_report.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "pipeline/report/json_reading.h"

namespace tessera {
namespace {

/// The request that an evaluation's file describes.
EvaluationRequest request_of(const Json& evaluation) {
  EvaluationRequest request;
  request.kind = EvaluationKind::probability;
  request.prediction = parse_dataset_name(text_at(evaluation, {"prediction"}));
  request.labels = parse_dataset_name(text_at(evaluation, {"labels"}));
  const Json& inverted = json_at(evaluation, {"inverted_labels"});
  request.invert_labels = inverted.is_boolean() && inverted.get<bool>();
  const Json& label_class = json_at(evaluation, {"label_class"});
  if (label_class.is_number_integer()) request.label_class = label_class.get<std::int64_t>();
  return request;
}

/// The experiment's raw volume where it has the labels' shape; the evaluation's file does not name one.
std::unique_ptr<Volume> fitting_raw(const RunRecord& record, const VolumeInfo& labels) {
  try {
    const std::string name = record.config("data.raw");
    if (name.empty()) return nullptr;
    const DatasetName raw = parse_dataset_name(name);
    require_fitting_raw(raw, labels);
    return open_volume(raw);
  } catch (const Error&) {
    return nullptr;  // the picture shows the probability instead
  }
}

}  // namespace

DrawnSection draw_section(const RunRecord& record, std::int64_t section) {
  if (text_at(record.evaluation, {"kind"}) != name_of(EvaluationKind::probability))
    throw Error("pictures are drawn of a probability only");
  const EvaluationRequest request = request_of(record.evaluation);
  const std::unique_ptr<Volume> prediction = open_volume(request.prediction),
                                labels = open_labels(request.labels);
  checked_sections(request, request.kind, prediction->info(), labels->info());
  const Index3 shape = labels->info().shape;
  const double threshold = number_at(section_of(record.evaluation, section), {"best_f_threshold"});
  if (section < 0 || section >= shape.z || !std::isfinite(threshold)) {
    throw Error(fmt::format("section {} is not among the evaluated ones", section));
  }
  const std::unique_ptr<Volume> raw = fitting_raw(record, labels->info());
  return {panels_of_section(section, request, *prediction, *labels, raw.get(), threshold), threshold};
}

std::vector<std::byte> png_of(const RgbImage& image) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::vector<std::byte> bytes(size);
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0) {
    throw Error(fmt::format("cannot make a picture of {} x {} pixels: {}", image.height, image.width,
                            header.message));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace tessera
