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
  if (const auto kind = value_named<LabelKind>(text_at(evaluation, {"label_kind"})))
    request.label_kind = *kind;
  const auto id_at = [&](const char* key) -> std::optional<LabelId> {
    const Json& id = json_at(evaluation, {key});
    if (!id.is_number_unsigned()) return std::nullopt;
    return id.get<LabelId>();
  };
  request.label_class = id_at("label_class");
  request.ignore_label = id_at("ignore_label");
  if (const std::int64_t classes = whole_at(evaluation, {"classes"}); classes > 0) request.classes = classes;
  if (const std::string frame = text_at(evaluation, {"frame"}); !frame.empty())
    request.frame = read_volume_info(parse_dataset_name(frame));
  const Json &begin = list_at(evaluation, {"region", "begin"}), &end = list_at(evaluation, {"region", "end"});
  const auto is_pixel = [](const Json& pixel) {
    return pixel.size() == 2 && pixel[0].is_number_integer() && pixel[1].is_number_integer();
  };
  if (is_pixel(begin) && is_pixel(end)) {
    request.region = PixelBounds{begin[0].get<std::int64_t>(), begin[1].get<std::int64_t>(),
                                 end[0].get<std::int64_t>(), end[1].get<std::int64_t>()};
  }
  return request;
}

/// The experiment's raw volume where it has the scored voxels; the evaluation's file does not name one.
std::unique_ptr<Volume> fitting_raw(const RunRecord& record, const EvaluatedVolumes& volumes) {
  try {
    const std::string name = record.config("data.raw");
    if (name.empty()) return nullptr;
    return open_fitting_raw(parse_dataset_name(name), volumes);
  } catch (const Error&) {
    return nullptr;  // the picture shows the probability instead
  }
}

}  // namespace

DrawnSection draw_section(const RunRecord& record, std::int64_t section) {
  if (text_at(record.evaluation, {"kind"}) != name_of(EvaluationKind::probability))
    throw Error("pictures are drawn of a probability only");
  const EvaluationRequest request = request_of(record.evaluation);
  EvaluatedVolumes volumes = open_evaluated(request, request.kind);
  const double threshold = number_at(section_of(record.evaluation, section), {"best_f_threshold"});
  if (section < volumes.sections.begin || section >= volumes.sections.end || !std::isfinite(threshold)) {
    throw Error(fmt::format("section {} is not among the evaluated ones", section));
  }
  const std::unique_ptr<Volume> raw = fitting_raw(record, volumes);
  return {panels_of_section(section, request, volumes, raw.get(), threshold), threshold};
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
