#include "pipeline/report/section_pictures.h"

#include <fmt/format.h>
#include <png.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/stores/open_volume.h"
#include "pipeline/evaluate/evaluation_report.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "pipeline/report/json_reading.h"

namespace tessera {

EvaluationRequest request_in(const Json& evaluation, EvaluationKind kind) {
  EvaluationRequest request;
  request.kind = kind;
  request.prediction = parse_dataset_name(text_at(evaluation, {"prediction"}));
  request.labels = parse_dataset_name(text_at(evaluation, {"labels"}));
  const Json& inverted = json_at(evaluation, {"inverted_labels"});
  request.invert_labels = inverted.is_boolean() && inverted.get<bool>();
  if (const auto labels = value_named<LabelKind>(text_at(evaluation, {"label_kind"})))
    request.label_kind = *labels;
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

namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 28;

/// The experiment's raw volume where it has the scored voxels; the evaluation's file does not name one.
std::unique_ptr<Volume> fitting_raw(const RunRecord& record, const EvaluatedVolumes& volumes) {
  const std::string name = record.config("data.raw");
  if (name.empty()) return nullptr;
  try {
    const DatasetName raw = parse_dataset_name(name);
    if (!file_exists(raw.file)) return nullptr;
    return open_fitting_raw(raw, volumes);
  } catch (const UsageError&) {  // of another place or shape
    return nullptr;
  } catch (const Error& error) {
    spdlog::warn("{}: the pictures show the probability in place of the raw volume", error.what());
    return nullptr;
  }
}

}  // namespace

namespace {

/// An evaluated section whose volumes are open.
struct OpenSection {
  EvaluationRequest request;
  EvaluatedVolumes volumes;
  std::unique_ptr<Volume> raw;
  double threshold = 0;
};

OpenSection open_section(const RunRecord& record, std::int64_t section) {
  if (text_at(record.evaluation, {"kind"}) != name_of(EvaluationKind::probability))
    throw Error("pictures are drawn of a probability only");
  OpenSection open;
  open.request = request_in(record.evaluation, EvaluationKind::probability);
  open.volumes = open_evaluated(open.request, open.request.kind);
  open.threshold = number_at(section_of(record.evaluation, section), {"best_f_threshold"});
  if (section < open.volumes.sections.begin || section >= open.volumes.sections.end ||
      !std::isfinite(open.threshold)) {
    throw Error(fmt::format("section {} is not among the evaluated ones", section));
  }
  open.raw = fitting_raw(record, open.volumes);
  return open;
}

/// The PNG of pixels in one of libpng's formats; `palette`: of a format with one, of `colours` entries.
std::vector<std::byte> encoded_png(const void* pixels, std::int64_t height, std::int64_t width,
                                   png_uint_32 format, const void* palette = nullptr,
                                   png_uint_32 colours = 0) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(width);
  header.height = static_cast<png_uint_32>(height);
  header.format = format;
  header.colormap_entries = colours;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::vector<std::byte> bytes(size);
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, pixels, 0, palette) == 0)
    throw Error(fmt::format("cannot make a picture of {} x {} pixels: {}", height, width, header.message));
  bytes.resize(size);
  return bytes;
}

}  // namespace

DrawnSection draw_section(const RunRecord& record, std::int64_t section) {
  OpenSection open = open_section(record, section);
  return {panels_of_section(section, open.request, open.volumes, open.raw.get(), open.threshold),
          open.threshold};
}

ReadSection read_section(const RunRecord& record, std::int64_t section) {
  OpenSection open = open_section(record, section);
  return {layers_of_section(section, open.request, open.volumes, open.raw.get()), open.threshold};
}

std::vector<std::byte> png_of(const RgbImage& image) {
  return encoded_png(image.pixels.data(), image.height, image.width, PNG_FORMAT_RGB);
}

std::vector<std::byte> png_of_grey(std::span<const std::uint8_t> pixels, std::int64_t height,
                                   std::int64_t width) {
  return encoded_png(pixels.data(), height, width, PNG_FORMAT_GRAY);
}

std::vector<std::byte> png_of_overlay(std::span<const OverlayClass> pixels, std::int64_t height,
                                      std::int64_t width) {
  std::vector<std::uint8_t> palette;
  for (const OverlayColour& one : kOverlayColours) {
    palette.insert(palette.end(),
                   {one.red, one.green, one.blue, static_cast<std::uint8_t>(std::lround(255 * one.opacity))});
  }
  return encoded_png(pixels.data(), height, width, PNG_FORMAT_RGBA_COLORMAP, palette.data(),
                     static_cast<png_uint_32>(kOverlayColours.size()));
}

RgbImage read_rgb(const std::filesystem::path& file) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  const auto failed = [&] { return Error(fmt::format("cannot read {}: {}", file.string(), header.message)); };
  if (png_image_begin_read_from_file(&header, file.c_str()) == 0) throw failed();
  header.format = PNG_FORMAT_RGB;
  RgbImage image{header.height, header.width, {}};
  if (PNG_IMAGE_SIZE(header) > kMostBytes) {
    png_image_free(&header);
    throw Error(fmt::format("{} is too large to show", file.string()));
  }
  image.pixels.resize(PNG_IMAGE_SIZE(header));
  if (png_image_finish_read(&header, nullptr, image.pixels.data(), 0, nullptr) == 0) throw failed();
  return image;
}

}  // namespace tessera
