#include "workers/train/training_data.h"

#include <fmt/format.h>

#include <cmath>

#include "io/error.h"
#include "io/mirror.h"

namespace tessera {

void require_same_shape(const VolumeInfo& raw, const VolumeInfo& labels) {
  if (labels.channels != 1) {
    throw UsageError(fmt::format("{} has {} channels; labels have one", labels.name.text(), labels.channels));
  }
  if (raw.shape == labels.shape) return;
  throw UsageError(fmt::format("the labels {} have the shape {}, but the raw volume {} has {}: they must be equal",
                               labels.name.text(), to_string(labels.shape), raw.name.text(), to_string(raw.shape)));
}

void require_sections(const Sections& sections, const VolumeInfo& volume, const std::string& key) {
  if (sections.begin >= 0 && sections.begin < sections.end && sections.end <= volume.shape.z) return;
  throw UsageError(fmt::format("{}: [{}, {}) is not within the {} sections of {}", key, sections.begin, sections.end,
                               volume.shape.z, volume.name.text()));
}

std::vector<std::uint8_t> label_classes(const VoxelBuffer& labels, const Box& box, std::int64_t classes,
                                        const DatasetName& name) {
  std::vector<std::uint8_t> result(static_cast<std::size_t>(volume_of(labels.shape)));
  with_voxel_type(labels.type, [&](auto zero) {
    using T = decltype(zero);
    const auto values = labels.as<T>();
    for (std::size_t i = 0; i < result.size(); ++i) {
      const auto value = static_cast<double>(values[i]);
      if (classes <= 2) {
        result[i] = values[i] > T{0} ? 1 : 0;
      } else if (value >= 0 && value < static_cast<double>(classes) && value == std::floor(value)) {
        result[i] = static_cast<std::uint8_t>(values[i]);
      } else {
        const auto at = static_cast<std::int64_t>(i);
        const Index3 s = labels.shape;
        throw Error(fmt::format("{} holds class {} at {}, but model.classes is {}", name.text(), values[i],
                                to_string(box.begin + Index3{at / (s.y * s.x), at / s.x % s.y, at % s.x}), classes));
      }
    }
  });
  return result;
}

TrainingData::TrainingData(const TrainingDataOptions& options) : options_(options) {
  VolumeReader raw(options.raw), labels(options.labels);
  raw_info_ = raw.info();
  require_same_shape(raw_info_, labels.info());
  require_sections(options.sections, raw_info_, "data.train_sections");
  if (raw_info_.type == VoxelType::uint32 || raw_info_.type == VoxelType::uint64) {
    throw UsageError(fmt::format("{} holds {}: raw volumes are uint8, uint16 or floating point", options.raw.text(),
                                 name_of(raw_info_.type)));
  }
  const Index3 shape = raw_info_.shape;
  label_box_ = {{options.sections.begin, 0, 0}, {options.sections.end, shape.y, shape.x}};
  raw_box_ = mirrored_source(label_box_.grown({options.context, 0, 0}), shape);
  raw_ = raw.read(raw_box_);
  require_finite(raw_, raw_box_, options.raw);
  labels_ = labels.read(label_box_);
  require_finite(labels_, label_box_, options.labels);
  measure();
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
      for (const T value : raw_.as<T>().subspan(begin, static_cast<std::size_t>(options_.sections.count() * plane))) {
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
  for (const std::uint8_t c : label_classes(labels_, label_box_, options_.classes, options_.labels)) ++class_counts_[c];
}

Sample TrainingData::cut(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t input_side,
                         const NetworkGeometry& geometry, double mean, double std) const {
  Sample sample;
  sample.channels = network_channels();
  sample.input_side = input_side;
  sample.output_side = geometry.output_side(input_side);
  const std::int64_t lost = (input_side - sample.output_side) / 2;
  const Index3 shape = raw_info_.shape;
  const Box input{{z - options_.context, y - lost, x - lost},
                  {z + options_.context + 1, y - lost + input_side, x - lost + input_side}};
  const VoxelBuffer raw = cut_mirrored(raw_, raw_box_, input, shape);
  sample.input.resize(raw.bytes.size() / static_cast<std::size_t>(size_of(raw.type)));
  with_voxel_type(raw.type, [&](auto zero) {
    using T = decltype(zero);
    const auto values = raw.as<T>();
    const auto scale = static_cast<float>(1 / std), shift = static_cast<float>(mean);
    for (std::size_t i = 0; i < values.size(); ++i) sample.input[i] = (static_cast<float>(values[i]) - shift) * scale;
  });
  const Box output{{z, y, x}, {z + 1, y + sample.output_side, x + sample.output_side}};
  sample.classes = label_classes(cut_mirrored(labels_, label_box_, output, shape), output, options_.classes,
                                 options_.labels);
  return sample;
}

}  // namespace tessera
