#include "pipeline/report/object_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <unordered_map>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/stores/open_volume.h"
#include "io/volume/placed_volume.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/section_pictures.h"

namespace tessera {
namespace {

constexpr std::int64_t kPlaneSide = 512, kObjectSide = 320, kLeastSide = 96, kObjectMargin = 16;
constexpr std::size_t kMostObjects = 10;
/// Voxels that are searched for the sections of the worst objects; of a larger volume every n-th section is.
constexpr std::int64_t kMostSearched = std::int64_t{1} << 28;
constexpr double kFill = 0.4, kBorder = 0.85;

std::vector<std::uint64_t> ids_of(const VoxelBuffer& voxels) {
  std::vector<std::uint64_t> ids;
  with_voxel_type(voxels.type, [&](auto zero) {
    for (const auto id : voxels.as<decltype(zero)>())
      ids.push_back(static_cast<std::uint64_t>(id));
  });
  return ids;
}

/// The first channel, stretched to 0 to 255.
std::vector<std::uint8_t> grey_of(const VoxelBuffer& voxels) {
  const auto count = static_cast<std::size_t>(volume_of(voxels.shape));
  std::vector<float> values;
  values.reserve(count);
  with_voxel_type(voxels.type, [&](auto zero) {
    for (const auto value : voxels.as<decltype(zero)>().first(count))
      values.push_back(static_cast<float>(value));
  });
  return stretched_grey(values);
}

/// A volume in which the objects have a place.
struct GreyVolume {
  std::unique_ptr<Volume> volume;
  Index3 origin;  ///< of the objects' first voxel

  std::vector<std::uint8_t> read(const Box& box) {
    if (!volume) return std::vector<std::uint8_t>(static_cast<std::size_t>(box.voxels()), 96);
    return grey_of(volume->read({box.begin + origin, box.end + origin}));
  }
};

void tell_left_out(const Error& error) {
  spdlog::warn("{}: the pictures of the objects do not show it", error.what());
}

/// The experiment's raw volume, else its prediction; without a volume where none has all of the objects'
/// voxels.
GreyVolume grey_under(const RunRecord& record, const VolumeInfo& objects) {
  for (const char* key : {"infer.raw", "data.raw", "segment.prediction"}) {
    const std::string text = record.config(key);
    try {
      if (text.empty()) continue;
      const DatasetName name = parse_dataset_name(text);
      if (!file_exists(name.file)) continue;
      std::unique_ptr<Volume> volume = open_volume(name);
      const Box place = box_within(objects, "objects", volume->info(), "raw volume");
      if (intersection(place, Box::of_shape(volume->info().shape)) == place)
        return {std::move(volume), place.begin};
    } catch (const UsageError&) {  // of another place or shape: the next one
    } catch (const Error& error) {
      tell_left_out(error);
    }
  }
  return {};
}

/// Repeats each row.
RgbImage with_rows_repeated(const RgbImage& image, std::int64_t times) {
  RgbImage tall{image.height * times, image.width, {}};
  const std::int64_t row = 3 * image.width;
  for (std::int64_t y = 0; y < tall.height; ++y) {
    const auto begin = image.pixels.begin() + y / times * row;
    tall.pixels.insert(tall.pixels.end(), begin, begin + row);
  }
  return tall;
}

/// Voxels of x along one of z, as a whole number.
std::int64_t stretch_of_z(const VolumeInfo& volume) {
  constexpr double kMostStretch = 20;
  const std::vector<double>& nm = volume.resolution_nm;
  if (nm.size() != 3 || nm[2] <= 0) return 1;
  return std::llround(std::clamp(nm[0] / nm[2], 1.0, kMostStretch));
}

/// The middle plane across an axis, at most kPlaneSide voxels wide and high.
Box middle_plane(const Index3& shape, int axis) {
  Box box = Box::of_shape(shape);
  for (int other = 0; other < 3; ++other) {
    const std::int64_t side = other == axis ? 1 : std::min(shape[other], kPlaneSide);
    box.begin[other] = (shape[other] - side) / 2;
    box.end[other] = box.begin[other] + side;
  }
  return box;
}

/// An object to show, and where it is largest.
struct SoughtObject {
  bool is_true = false;  ///< a split object of the truth; else a merged one of the segmentation
  std::uint64_t id = 0;
  double voxels = 0, parts = 0, outside = 0;
  std::int64_t section = -1, pixels = 0;
  PixelBounds bounds;
};

std::vector<SoughtObject> worst_in(const Json& evaluation) {
  std::vector<SoughtObject> sought;
  for (const char* kind : {"split", "merged"}) {
    for (const Json& row : list_at(evaluation, {"worst_objects", kind})) {
      const Json& id = json_at(row, {"id"});
      SoughtObject one;
      one.is_true = kind[0] == 's';
      one.voxels = number_at(row, {"voxels"});
      one.parts = number_at(row, {"parts"});
      one.outside = one.voxels - number_at(row, {"voxels_in_largest_part"});
      if (!id.is_number_unsigned() || !(one.outside > 0)) continue;
      one.id = id.get<std::uint64_t>();
      sought.push_back(one);
    }
  }
  std::ranges::stable_sort(sought, std::ranges::greater{}, &SoughtObject::outside);
  if (sought.size() > kMostObjects) sought.resize(kMostObjects);
  return sought;
}

/// Notes the sections in which the objects have most pixels.
class ObjectSearch {
 public:
  explicit ObjectSearch(std::vector<SoughtObject>& objects) : objects_(objects), here_(objects.size()) {
    for (std::size_t i = 0; i < objects.size(); ++i)
      (objects[i].is_true ? true_ : predicted_)[objects[i].id] = i;
  }

  void look_at(std::int64_t section, const Box& box, std::span<const std::uint64_t> truth,
               std::span<const std::uint64_t> predicted) {
    std::ranges::fill(here_, SoughtObject{});
    const std::int64_t width = box.shape().x;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      const std::int64_t y = box.begin.y + static_cast<std::int64_t>(i) / width,
                         x = box.begin.x + static_cast<std::int64_t>(i) % width;
      if (const auto found = true_.find(truth[i]); found != true_.end()) add(found->second, y, x);
      if (const auto found = predicted_.find(predicted[i]); found != predicted_.end())
        add(found->second, y, x);
    }
    for (std::size_t i = 0; i < here_.size(); ++i) {
      if (here_[i].pixels <= objects_[i].pixels) continue;
      objects_[i].pixels = here_[i].pixels;
      objects_[i].section = section;
      objects_[i].bounds = here_[i].bounds;
    }
  }

 private:
  void add(std::size_t object, std::int64_t y, std::int64_t x) {
    SoughtObject& one = here_[object];
    if (one.pixels++ == 0) one.bounds = {y, x, y + 1, x + 1};
    one.bounds.y_end = y + 1;
    one.bounds.x_begin = std::min(one.bounds.x_begin, x);
    one.bounds.x_end = std::max(one.bounds.x_end, x + 1);
  }

  std::vector<SoughtObject>& objects_;
  std::vector<SoughtObject> here_;  ///< of the section
  std::unordered_map<std::uint64_t, std::size_t> true_, predicted_;
};

/// The pixels around an object, within the scored ones.
Box window_around(const SoughtObject& object, const PixelBounds& scored) {
  const auto along = [](std::int64_t begin, std::int64_t end, std::int64_t low, std::int64_t high) {
    const std::int64_t side =
        std::min(high - low, std::clamp(end - begin + 2 * kObjectMargin, kLeastSide, kObjectSide));
    const std::int64_t first = std::clamp((begin + end - side) / 2, low, high - side);
    return std::pair(first, first + side);
  };
  const auto [y, y_end] = along(object.bounds.y_begin, object.bounds.y_end, scored.y_begin, scored.y_end);
  const auto [x, x_end] = along(object.bounds.x_begin, object.bounds.x_end, scored.x_begin, scored.x_end);
  return {{object.section, y, x}, {object.section + 1, y_end, x_end}};
}

std::string caption_of_object(const SoughtObject& object) {
  return fmt::format(
      "{} object {}, section {}: {:.0f} {} objects in it, {:.1f} % of its voxels outside the largest",
      object.is_true ? "True" : "Predicted", object.id, object.section, object.parts,
      object.is_true ? "predicted" : "true", 100 * object.outside / std::max(1.0, object.voxels));
}

ObjectPicture picture_of_object(const SoughtObject& object, EvaluatedVolumes& volumes, Volume* raw) {
  const Box box = window_around(object, volumes.bounds);
  const std::vector<std::uint64_t> truth = ids_of(volumes.labels->read(box)),
                                   predicted = ids_of(volumes.prediction->read(box));
  const std::vector<std::uint8_t> grey =
      raw != nullptr ? grey_of(raw->read(box)) : std::vector<std::uint8_t>(truth.size(), 96);
  std::vector<std::uint64_t> shown_truth(truth.size()), shown_predicted(truth.size());
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if ((object.is_true ? truth : predicted)[i] != object.id) continue;
    shown_truth[i] = truth[i];
    shown_predicted[i] = predicted[i];
  }
  const std::array<RgbImage, 2> panels{object_overlay(grey, shown_truth, box.shape().y, box.shape().x),
                                       object_overlay(grey, shown_predicted, box.shape().y, box.shape().x)};
  return {caption_of_object(object), side_by_side(panels)};
}

/// The first raw volume of the experiment that has all scored voxels, else its prediction; null without one.
std::unique_ptr<Volume> raw_of_scored(const RunRecord& record, const EvaluatedVolumes& volumes) {
  for (const char* key : {"infer.raw", "data.raw", "segment.prediction"}) {
    try {
      const std::string text = record.config(key);
      if (text.empty()) continue;
      const DatasetName name = parse_dataset_name(text);
      if (file_exists(name.file)) return open_fitting_raw(name, volumes);
    } catch (const UsageError&) {  // of another place or shape: the next one
    } catch (const Error& error) {
      tell_left_out(error);
    }
  }
  return nullptr;
}

}  // namespace

std::array<std::uint8_t, 3> colour_of_object(std::uint64_t id) {
  // The finaliser of splitmix64 (Steele, Lea and Flood 2014): neighbouring ids get unlike colours.
  std::uint64_t hash = id + 0x9e3779b97f4a7c15U;
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebU;
  hash ^= hash >> 31U;
  const double hue = static_cast<double>(hash % 3600) / 600,
               least = 0.15 + 0.05 * static_cast<double>(hash >> 61U);
  // A hue on the circle of six sectors, between `least` and 1.
  const auto channel = [&](double offset) {
    const double at = std::fmod(hue + offset, 6.0);
    const double share = std::clamp(std::abs(at - 3) - 1, 0.0, 1.0);
    return static_cast<std::uint8_t>(std::lround(255 * (least + (1 - least) * share)));
  };
  return {channel(0), channel(4), channel(2)};
}

RgbImage object_overlay(std::span<const std::uint8_t> grey, std::span<const std::uint64_t> ids,
                        std::int64_t height, std::int64_t width) {
  RgbImage image{height, width, {}};
  image.pixels.reserve(3 * grey.size());
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const auto at = static_cast<std::size_t>(y * width + x), row = static_cast<std::size_t>(width);
      const std::uint64_t id = ids[at];
      const bool border = (x + 1 < width && ids[at + 1] != id) || (y + 1 < height && ids[at + row] != id);
      const double opacity = id == 0 ? 0 : border ? kBorder : kFill;
      for (const std::uint8_t colour : colour_of_object(id)) {
        image.pixels.push_back(
            static_cast<std::uint8_t>(std::lround((1 - opacity) * grey[at] + opacity * colour)));
      }
    }
  }
  return image;
}

std::vector<ObjectPicture> object_planes(const RunRecord& record) {
  const std::unique_ptr<Volume> objects =
      open_labels(parse_dataset_name(text_at(record.segmentation, {"result"})));
  const VolumeInfo& info = objects->info();
  GreyVolume grey = grey_under(record, info);
  constexpr std::array<const char*, 3> kPlanes{"xy", "xz", "yz"};
  constexpr std::array<const char*, 3> kAxes{"z", "y", "x"};
  std::vector<ObjectPicture> pictures;
  for (int axis = 0; axis < 3; ++axis) {
    const auto named = static_cast<std::size_t>(axis);
    const Box box = middle_plane(info.shape, axis);
    const Index3 shape = box.shape();
    const std::int64_t height = axis == 0 ? shape.y : shape.z, width = axis == 2 ? shape.y : shape.x;
    const RgbImage image = object_overlay(grey.read(box), ids_of(objects->read(box)), height, width);
    pictures.push_back({fmt::format("{} plane, {} = {}", kPlanes.at(named), kAxes.at(named), box.begin[axis]),
                        with_rows_repeated(image, axis == 0 ? 1 : stretch_of_z(info))});
  }
  return pictures;
}

std::vector<ObjectPicture> worst_object_pictures(const RunRecord& record) {
  std::vector<SoughtObject> sought = worst_in(record.object_evaluation);
  if (sought.empty()) return {};
  EvaluationRequest request = request_in(record.object_evaluation, EvaluationKind::labels);
  const Json& scored = list_at(record.object_evaluation, {"section_range"});
  if (scored.size() == 2) request.sections = {whole_at(scored[0], {}), whole_at(scored[1], {})};
  EvaluatedVolumes volumes = open_evaluated(request, request.kind);
  const PixelBounds& bounds = volumes.bounds;
  const std::int64_t area = volumes.height() * volumes.width(),
                     all = area * (volumes.sections.end - volumes.sections.begin),
                     step = std::max<std::int64_t>(1, (all + kMostSearched - 1) / kMostSearched);
  ObjectSearch search(sought);
  for (std::int64_t z = volumes.sections.begin; z < volumes.sections.end; z += step) {
    const Box box{{z, bounds.y_begin, bounds.x_begin}, {z + 1, bounds.y_end, bounds.x_end}};
    search.look_at(z, box, ids_of(volumes.labels->read(box)), ids_of(volumes.prediction->read(box)));
  }
  const std::unique_ptr<Volume> raw = raw_of_scored(record, volumes);
  std::vector<ObjectPicture> pictures;
  for (const SoughtObject& one : sought) {
    if (one.section >= 0) pictures.push_back(picture_of_object(one, volumes, raw.get()));
  }
  return pictures;
}

}  // namespace tessera
