#include "workers/samples/training_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "io/base/error.h"
#include "io/geometry/mirror.h"
#include "io/stores/open_volume.h"
#include "io/volume/finite_check.h"
#include "workers/samples/class_shares.h"
#include "workers/samples/label_doubts.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {

namespace {

/// As CREMI does: a raw volume without an offset begins at 0.
VolumeInfo with_offset(VolumeInfo raw) {
  if (raw.offset_nm.empty()) raw.offset_nm.assign(3, 0);
  return raw;
}

}  // namespace

Box labelled_box(const VolumeInfo& raw, const VolumeInfo& labels) {
  if (labels.channels != 1) {
    throw UsageError(fmt::format("{} has {} channels; labels have one", labels.name.text(), labels.channels));
  }
  const Box place = box_within(labels, "labels", with_offset(raw), "raw volume");
  return overlap_with(place, labels, "labels", raw, "raw volume");
}

PlacedVolume open_labels_on(const VolumeInfo& raw, const DatasetName& labels) {
  std::unique_ptr<Volume> opened = open_labels(labels);
  labelled_box(raw, opened->info());  // for its errors
  return placed_on(std::move(opened), "labels", with_offset(raw), "raw volume");
}

void require_sections(const Sections& sections, const VolumeInfo& volume, const std::string& key) {
  if (sections.begin >= 0 && sections.begin < sections.end && sections.end <= volume.shape.z) return;
  throw UsageError(fmt::format("{}: [{}, {}) is not within the {} sections of {}", key, sections.begin,
                               sections.end, volume.shape.z, volume.name.text()));
}

void require_region(const PixelBounds& region, const VolumeInfo& volume, const std::string& key) {
  const Index3 shape = volume.shape;
  if (region.y_begin >= 0 && region.x_begin >= 0 && region.y_begin < region.y_end &&
      region.x_begin < region.x_end && region.y_end <= shape.y && region.x_end <= shape.x) {
    return;
  }
  throw UsageError(fmt::format("{}: y [{}, {}) x [{}, {}) is not within the {} x {} pixels of {}", key,
                               region.y_begin, region.y_end, region.x_begin, region.x_end, shape.y, shape.x,
                               volume.name.text()));
}

RawSums& RawSums::operator+=(const RawSums& other) {
  sum += other.sum;
  squares += other.squares;
  count += other.count;
  return *this;
}

Normalisation RawSums::normalisation() const {
  const double mean = sum / count, std = std::sqrt(std::max(0.0, squares / count - mean * mean));
  return {mean, std == 0 ? 1 : std};
}

TrainingData::TrainingData(const TrainingDataOptions& options) : options_(options) {
  const std::unique_ptr<Volume> raw = open_volume(options.raw);
  raw_info_ = raw->info();
  const PlacedVolume labels = open_labels_on(raw_info_, options.labels);
  const Box& labelled = labels.covered;
  require_sections(options.sections, raw_info_, "data.train_sections");
  if (raw_info_.type == VoxelType::uint32 || raw_info_.type == VoxelType::uint64) {
    throw UsageError(wrong_raw_type_text(raw_info_));
  }
  const Index3 shape = raw_info_.shape;
  region_ = options.region.value_or(PixelBounds{0, 0, shape.y, shape.x});
  require_region(region_, raw_info_, "data.region");
  label_box_ = {{options.sections.begin, region_.y_begin, region_.x_begin},
                {options.sections.end, region_.y_end, region_.x_end}};
  if (!labelled.contains(label_box_)) {
    throw UsageError(fmt::format("{} of {} is to be trained on, but the labels {} cover {} of it",
                                 to_string(label_box_), options.raw.text(), options.labels.text(),
                                 to_string(labelled)));
  }
  const std::int64_t reach = options.region ? options.reach : 0;
  raw_box_ = mirrored_source(label_box_.grown({options.context, 0, 0}), shape);
  raw_box_ = intersection(raw_box_.grown({0, reach, reach}), Box::of_shape(shape));
  raw_ = raw->read(raw_box_);
  require_finite(raw_, raw_box_, options.raw);
  read_labels(*labels.volume);
  measure();
  look_at_sections();
}

double TrainingData::pixels() const {
  return static_cast<double>(region_.y_end - region_.y_begin) * static_cast<double>(region_.width()) *
         static_cast<double>(options_.sections.count());
}

void TrainingData::read_labels(Volume& labels) {
  const VoxelBuffer held = labels.read(label_box_);
  label_ids_ = first_ids(held);
  const Box first{label_box_.begin, {label_box_.begin.z + 1, label_box_.end.y, label_box_.end.x}};
  const VoxelBuffer first_labels = labels.read(first), first_raw = cut_raw(first);
  require_other_than_raw(first_labels, options_.labels, first_raw, options_.raw);
  require_not_exchanged(first_labels, options_.labels, first_raw, options_.raw);
  const std::vector<std::uint8_t> classes =
      label_classes(held, label_box_, options_.label_options(), options_.labels);
  classes_ = VoxelBuffer(VoxelType::uint8, held.shape);
  std::copy(classes.begin(), classes.end(), classes_.as<std::uint8_t>().begin());
  if (options_.weight_map.w0 == 0) return;
  border_ = VoxelBuffer(VoxelType::float32, held.shape);
  const std::vector<float> border =
      label_border_weights(held, classes, options_.label_options(), options_.weight_map, options_.threads);
  std::copy(border.begin(), border.end(), border_.as<float>().begin());
}

SectionView TrainingData::first_section() const {
  const std::int64_t z = options_.sections.begin, height = region_.y_end - region_.y_begin;
  SectionView view{z, height, region_.width(), {}, {}, {}};
  const auto plane = static_cast<std::size_t>(view.height * view.width);
  const VoxelBuffer raw = cut_raw({label_box_.begin, {z + 1, region_.y_end, region_.x_end}});
  with_voxel_type(raw.type, [&](auto zero) {
    const auto values = raw.as<decltype(zero)>().first(plane);
    view.raw.assign(values.begin(), values.end());
  });
  view.classes = classes_.as<std::uint8_t>().first(plane);
  if (!border_.bytes.empty()) view.border = border_.as<float>().first(plane);
  return view;
}

void TrainingData::measure() {
  // The held raw voxels of context sections and around the region are not training voxels.
  const Box trained = label_box_.relative_to(raw_box_.begin);
  const Index3 held = raw_.shape, sides = trained.shape();
  with_voxel_type(raw_.type, [&](auto zero) {
    using T = decltype(zero);
    const auto values = raw_.as<T>();
    for (std::int64_t c = 0; c < raw_.channels; ++c) {
      for (std::int64_t z = trained.begin.z; z < trained.end.z; ++z) {
        for (std::int64_t y = trained.begin.y; y < trained.end.y; ++y) {
          const std::int64_t row = ((c * held.z + z) * held.y + y) * held.x + trained.begin.x;
          for (const T value :
               values.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(sides.x))) {
            const auto v = static_cast<double>(value);
            raw_sums_.sum += v;
            raw_sums_.squares += v * v;
          }
        }
      }
    }
  });
  raw_sums_.count = static_cast<double>(raw_.channels * volume_of(sides));
  normalisation_ = raw_sums_.normalisation();
  class_counts_.assign(static_cast<std::size_t>(std::max<std::int64_t>(2, options_.classes)), 0);
  for (const std::uint8_t c : classes_.as<std::uint8_t>()) {
    if (c != kIgnoredClass) ++class_counts_[c];
  }
}

void TrainingData::look_at_sections() {
  LabelDoubts doubts(options_);
  for (const std::int64_t z : doubts.sections()) {
    const Box middle =
        middle_of({{z, region_.y_begin, region_.x_begin}, {z + 1, region_.y_end, region_.x_end}});
    doubts.add(z, cut_raw(middle), cut_labels(classes_, middle));
  }
  doubts_ = doubts.texts(label_ids_);
}

namespace {

std::vector<float> normalised(const VoxelBuffer& raw, double mean, double std) {
  std::vector<float> result(raw.bytes.size() / static_cast<std::size_t>(size_of(raw.type)));
  with_voxel_type(raw.type, [&](auto zero) {
    using T = decltype(zero);
    const auto values = raw.as<T>();
    const auto scale = static_cast<float>(1 / std), shift = static_cast<float>(mean);
    for (std::size_t i = 0; i < values.size(); ++i)
      result[i] = (static_cast<float>(values[i]) - shift) * scale;
  });
  return result;
}

}  // namespace

/// Mirrored at the ends of the held box in y and x, which without a region are those of the section.
VoxelBuffer TrainingData::cut_raw(const Box& box) const {
  const Index3 origin{0, raw_box_.begin.y, raw_box_.begin.x};
  return cut_mirrored(raw_, raw_box_.relative_to(origin), box.relative_to(origin),
                      {raw_info_.shape.z, raw_.shape.y, raw_.shape.x});
}

/// Of `classes_` or `border_`: mirrored beyond the section, or, with a region, ignored (weight 0) beyond it.
VoxelBuffer TrainingData::cut_labels(const VoxelBuffer& held, const Box& box) const {
  if (!options_.region) return cut_mirrored(held, label_box_, box, raw_info_.shape);
  VoxelBuffer result(held.type, box.shape());
  if (held.type == VoxelType::uint8) std::ranges::fill(result.as<std::uint8_t>(), kIgnoredClass);
  const Box inside = intersection(box, label_box_);
  if (inside.empty()) return result;
  const VoxelBuffer known = cut_mirrored(held, label_box_, inside, raw_info_.shape);
  const Index3 from = inside.shape(), to = box.shape(), at = inside.begin - box.begin;
  const auto width = static_cast<std::size_t>(from.x * size_of(held.type));
  for (std::int64_t row = 0; row < from.z * from.y; ++row) {
    const std::int64_t z = row / from.y, y = row % from.y;
    const std::int64_t place = ((at.z + z) * to.y + at.y + y) * to.x + at.x;
    std::memcpy(result.bytes.data() + place * size_of(held.type),
                known.bytes.data() + static_cast<std::size_t>(row) * width, width);
  }
  return result;
}

/// `input_begin`: the first input pixel in the labelled section.
void TrainingData::cut_input(const Index3& input_begin, double mean, double std, const SampleWarp& warp,
                             Sample& sample) const {
  const Index3 context{options_.context, 0, 0};
  if (warp.is_identity()) {
    const Index3 end = input_begin + Index3{1, sample.input_side, sample.input_side};
    sample.input = normalised(cut_raw({input_begin - context, end + context}), mean, std);
    return;
  }
  std::int64_t reach = 2;
  for (const auto& shift : warp.section_shifts)
    reach = std::max({reach, 2 + std::abs(shift[0]), 2 + std::abs(shift[1])});
  const std::vector<Place> inputs = source_places(warp, sample.input_side, 0, sample.input_side);
  const PixelBounds bounds = bounds_of(inputs, reach);
  const Box box{input_begin + Index3{0, bounds.y_begin, bounds.x_begin} - context,
                input_begin + Index3{1, bounds.y_end, bounds.x_end} + context};
  const std::vector<float> raw = normalised(cut_raw(box), mean, std);
  const std::size_t plane = raw.size() / static_cast<std::size_t>(sample.channels);
  sample.input.resize(inputs.size() * static_cast<std::size_t>(sample.channels));
  for (std::size_t c = 0; c < static_cast<std::size_t>(sample.channels); ++c) {
    const std::size_t section = c % static_cast<std::size_t>(sample.sections);
    const auto shift =
        warp.section_shifts.empty() ? std::array<std::int64_t, 2>{0, 0} : warp.section_shifts[section];
    sample_cubic(raw.data() + c * plane, bounds, inputs, shift, sample.input.data() + c * inputs.size());
  }
}

Sample TrainingData::cut_targets(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t input_side,
                                 const NetworkGeometry& geometry, const SampleWarp& warp) const {
  Sample sample;
  sample.channels = network_channels();
  sample.sections = 2 * options_.context + 1;
  sample.input_side = input_side;
  sample.output_side = geometry.output_side(input_side);
  const std::int64_t lost = (input_side - sample.output_side) / 2;
  Box output{{z, y, x}, {z + 1, y + sample.output_side, x + sample.output_side}};
  std::vector<std::size_t> nearest;  // empty: the identity
  if (!warp.is_identity()) {
    const std::vector<Place> outputs = source_places(warp, input_side, lost, sample.output_side);
    const PixelBounds bounds = bounds_of(outputs, 1);
    nearest = nearest_pixels(bounds, outputs);
    output = {{z, y - lost + bounds.y_begin, x - lost + bounds.x_begin},
              {z + 1, y - lost + bounds.y_end, x - lost + bounds.x_end}};
  }
  const auto take = [&]<class T>(const VoxelBuffer& held, std::vector<T>& to) {
    const VoxelBuffer cut = cut_labels(held, output);
    const auto values = cut.as<T>();
    if (nearest.empty()) to.assign(values.begin(), values.end());
    for (const std::size_t pixel : nearest)
      to.push_back(values[pixel]);
  };
  take(classes_, sample.classes);
  if (!border_.bytes.empty()) take(border_, sample.border);
  return sample;
}

Sample TrainingData::cut(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t input_side,
                         const NetworkGeometry& geometry, double mean, double std,
                         const SampleWarp& warp) const {
  Sample sample = cut_targets(z, y, x, input_side, geometry, warp);
  sample.black = static_cast<float>(-mean / std);
  const std::int64_t lost = (input_side - sample.output_side) / 2;
  cut_input({z, y - lost, x - lost}, mean, std, warp, sample);
  return sample;
}

}  // namespace tessera
