#include "workers/train/training_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "io/mirror.h"
#include "workers/train/pixel_weights.h"

namespace tessera {

void require_same_shape(const VolumeInfo& raw, const VolumeInfo& labels) {
  if (labels.channels != 1) {
    throw UsageError(fmt::format("{} has {} channels; labels have one", labels.name.text(), labels.channels));
  }
  if (raw.shape == labels.shape) return;
  throw UsageError(
      fmt::format("the labels {} have the shape {}, but the raw volume {} has {}: they must be equal",
                  labels.name.text(), to_string(labels.shape), raw.name.text(), to_string(raw.shape)));
}

void require_sections(const Sections& sections, const VolumeInfo& volume, const std::string& key) {
  if (sections.begin >= 0 && sections.begin < sections.end && sections.end <= volume.shape.z) return;
  throw UsageError(fmt::format("{}: [{}, {}) is not within the {} sections of {}", key, sections.begin,
                               sections.end, volume.shape.z, volume.name.text()));
}

TrainingData::TrainingData(const TrainingDataOptions& options) : options_(options) {
  VolumeReader raw(options.raw), labels(options.labels);
  raw_info_ = raw.info();
  require_same_shape(raw_info_, labels.info());
  require_sections(options.sections, raw_info_, "data.train_sections");
  if (raw_info_.type == VoxelType::uint32 || raw_info_.type == VoxelType::uint64) {
    throw UsageError(fmt::format("{} holds {}: raw volumes are uint8, uint16 or floating point",
                                 options.raw.text(), name_of(raw_info_.type)));
  }
  const Index3 shape = raw_info_.shape;
  label_box_ = {{options.sections.begin, 0, 0}, {options.sections.end, shape.y, shape.x}};
  raw_box_ = mirrored_source(label_box_.grown({options.context, 0, 0}), shape);
  raw_ = raw.read(raw_box_);
  require_finite(raw_, raw_box_, options.raw);
  read_labels(labels);
  measure();
}

void TrainingData::read_labels(VolumeReader& labels) {
  const VoxelBuffer held = labels.read(label_box_);
  require_finite(held, label_box_, options_.labels);
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
  SectionView view{options_.sections.begin, raw_info_.shape.y, raw_info_.shape.x, {}, {}, {}};
  const auto plane = static_cast<std::size_t>(view.height * view.width);
  const auto first = static_cast<std::size_t>(options_.sections.begin - raw_box_.begin.z) * plane;
  with_voxel_type(raw_.type, [&](auto zero) {
    const auto values = raw_.as<decltype(zero)>().subspan(first, plane);
    view.raw.assign(values.begin(), values.end());
  });
  view.classes = classes_.as<std::uint8_t>().first(plane);
  if (!border_.bytes.empty()) view.border = border_.as<float>().first(plane);
  return view;
}

void TrainingData::measure() {
  double sum = 0, sum_of_squares = 0, count = 0;
  // Of the raw voxels held, those of the context sections are not trained on.
  const Index3 held = raw_.shape;
  const std::int64_t plane = held.y * held.x, first = options_.sections.begin - raw_box_.begin.z;
  with_voxel_type(raw_.type, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t c = 0; c < raw_.channels; ++c) {
      const auto begin = static_cast<std::size_t>((c * held.z + first) * plane);
      for (const T value :
           raw_.as<T>().subspan(begin, static_cast<std::size_t>(options_.sections.count() * plane))) {
        const auto v = static_cast<double>(value);
        sum += v;
        sum_of_squares += v * v;
      }
    }
    count = static_cast<double>(raw_.channels * options_.sections.count() * plane);
  });
  mean_ = sum / count;
  std_ = std::sqrt(std::max(0.0, sum_of_squares / count - mean_ * mean_));
  if (std_ == 0) std_ = 1;  // a blank volume
  class_counts_.assign(static_cast<std::size_t>(std::max<std::int64_t>(2, options_.classes)), 0);
  for (const std::uint8_t c : classes_.as<std::uint8_t>()) {
    if (c != kIgnoredClass) ++class_counts_[c];
  }
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

void TrainingData::cut_warped(const SampleWarp& warp, const Index3& input_begin, double mean, double std,
                              Sample& sample) const {
  const Index3 shape = raw_info_.shape;
  const auto box_of = [&](const PixelBounds& bounds, std::int64_t context) {
    return Box{input_begin + Index3{-context, bounds.y_begin, bounds.x_begin},
               input_begin + Index3{context + 1, bounds.y_end, bounds.x_end}};
  };
  std::int64_t reach = 2;
  for (const auto& shift : warp.section_shifts)
    reach = std::max({reach, 2 + std::abs(shift[0]), 2 + std::abs(shift[1])});
  const std::vector<Place> inputs = source_places(warp, sample.input_side, 0, sample.input_side);
  const PixelBounds bounds = bounds_of(inputs, reach);
  const std::vector<float> raw =
      normalised(cut_mirrored(raw_, raw_box_, box_of(bounds, options_.context), shape), mean, std);
  const std::size_t plane = raw.size() / static_cast<std::size_t>(sample.channels);
  sample.input.resize(inputs.size() * static_cast<std::size_t>(sample.channels));
  for (std::size_t c = 0; c < static_cast<std::size_t>(sample.channels); ++c) {
    const std::size_t section = c % static_cast<std::size_t>(sample.sections);
    const auto shift =
        warp.section_shifts.empty() ? std::array<std::int64_t, 2>{0, 0} : warp.section_shifts[section];
    sample_cubic(raw.data() + c * plane, bounds, inputs, shift, sample.input.data() + c * inputs.size());
  }
  const std::int64_t lost = (sample.input_side - sample.output_side) / 2;
  const std::vector<Place> outputs = source_places(warp, sample.input_side, lost, sample.output_side);
  const PixelBounds output_bounds = bounds_of(outputs, 1);
  const std::vector<std::size_t> nearest = nearest_pixels(output_bounds, outputs);
  const VoxelBuffer classes = cut_mirrored(classes_, label_box_, box_of(output_bounds, 0), shape);
  for (const std::size_t pixel : nearest)
    sample.classes.push_back(classes.as<std::uint8_t>()[pixel]);
  if (border_.bytes.empty()) return;
  const VoxelBuffer border = cut_mirrored(border_, label_box_, box_of(output_bounds, 0), shape);
  for (const std::size_t pixel : nearest)
    sample.border.push_back(border.as<float>()[pixel]);
}

Sample TrainingData::cut(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t input_side,
                         const NetworkGeometry& geometry, double mean, double std,
                         const SampleWarp& warp) const {
  Sample sample;
  sample.channels = network_channels();
  sample.sections = 2 * options_.context + 1;
  sample.black = static_cast<float>(-mean / std);
  sample.input_side = input_side;
  sample.output_side = geometry.output_side(input_side);
  const std::int64_t lost = (input_side - sample.output_side) / 2;
  const Index3 shape = raw_info_.shape;
  const Box input{{z - options_.context, y - lost, x - lost},
                  {z + options_.context + 1, y - lost + input_side, x - lost + input_side}};
  if (!warp.is_identity()) {
    cut_warped(warp, input.begin + Index3{options_.context, 0, 0}, mean, std, sample);
    return sample;
  }
  sample.input = normalised(cut_mirrored(raw_, raw_box_, input, shape), mean, std);
  const Box output{{z, y, x}, {z + 1, y + sample.output_side, x + sample.output_side}};
  const VoxelBuffer classes = cut_mirrored(classes_, label_box_, output, shape);
  sample.classes.assign(classes.as<std::uint8_t>().begin(), classes.as<std::uint8_t>().end());
  if (!border_.bytes.empty()) {
    const VoxelBuffer border = cut_mirrored(border_, label_box_, output, shape);
    sample.border.assign(border.as<float>().begin(), border.as<float>().end());
  }
  return sample;
}

}  // namespace tessera
