#include "workers/samples/training_labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>

#include "io/base/error.h"
#include "io/base/thread_group.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

/// The separated instances of section z of a buffer.
std::vector<std::int32_t> section_instances(const VoxelBuffer& labels, std::int64_t z,
                                            const LabelOptions& options) {
  const auto plane = static_cast<std::size_t>(labels.shape.y * labels.shape.x);
  const std::size_t begin = static_cast<std::size_t>(z) * plane;
  std::vector<std::int32_t> instances;
  with_voxel_type(labels.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>) {
      const auto ids = labels.as<T>().subspan(begin, plane);
      if (options.ignore) {
        std::vector<T> kept(ids.begin(), ids.end());
        std::replace_if(
            kept.begin(), kept.end(), [&](T id) { return std::cmp_equal(id, *options.ignore); }, T{0});
        instances = dense_instances<T>(kept);
      } else {
        instances = dense_instances<T>(ids);
      }
    }
  });
  separate_instances(instances, labels.shape.y, labels.shape.x);
  return instances;
}

/// Calls `work(z)` for every section, on several threads. Throws the first error after all have ended.
template <class Work>
void for_sections(std::int64_t count, int threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto run = [&] {
    try {
      for (std::int64_t z = next++; z < count; z = next++)
        work(z);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  };
  {
    ThreadGroup helpers([&] { next = count; });
    for (std::int64_t t = 1; t < std::min<std::int64_t>(threads, count); ++t)
      helpers.start("to compute the weight map", run);
    run();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace

std::vector<std::uint8_t> label_classes(const VoxelBuffer& labels, const Box& box,
                                        const LabelOptions& options, const DatasetName& name) {
  std::vector<std::uint8_t> result(static_cast<std::size_t>(volume_of(labels.shape)));
  const auto plane = static_cast<std::size_t>(labels.shape.y * labels.shape.x);
  if (options.kind == LabelKind::instances) {
    if (options.classes > 2) {
      throw UsageError(fmt::format(
          "data.label_kind: instances separates cells from background, but model.classes is {}: set it "
          "to 2 or 1, or give classes as labels",
          options.classes));
    }
    if (labels.type == VoxelType::float32) {
      throw UsageError(fmt::format(
          "{} holds floating point: data.label_kind: instances needs integers, such as uint32", name.text()));
    }
    for (std::int64_t z = 0; z < labels.shape.z; ++z) {
      const std::vector<std::int32_t> instances = section_instances(labels, z, options);
      for (std::size_t i = 0; i < plane; ++i)
        result[static_cast<std::size_t>(z) * plane + i] = instances[i] > 0 ? 1 : 0;
    }
  }
  with_voxel_type(labels.type, [&](auto zero) {
    using T = decltype(zero);
    const auto values = labels.as<T>();
    for (std::size_t i = 0; i < result.size(); ++i) {
      const auto value = static_cast<double>(values[i]);
      if (options.ignore && value == static_cast<double>(*options.ignore)) {
        result[i] = kIgnoredClass;
      } else if (options.kind == LabelKind::instances) {
        continue;
      } else if (options.classes <= 2) {
        result[i] = (values[i] > T{0}) != options.invert ? 1 : 0;
      } else if (value >= 0 && value < static_cast<double>(options.classes) && value == std::floor(value)) {
        result[i] = static_cast<std::uint8_t>(values[i]);
      } else {
        const auto at = static_cast<std::int64_t>(i);
        const Index3 s = labels.shape;
        throw Error(fmt::format("{} holds class {} at {}, but model.classes is {}", name.text(), values[i],
                                to_string(box.begin + Index3{at / (s.y * s.x), at / s.x % s.y, at % s.x}),
                                options.classes));
      }
    }
  });
  return result;
}

std::vector<float> label_border_weights(const VoxelBuffer& labels, const std::vector<std::uint8_t>& classes,
                                        const LabelOptions& options, const WeightMapOptions& weight_map,
                                        int threads) {
  const std::int64_t height = labels.shape.y, width = labels.shape.x;
  const auto plane = static_cast<std::size_t>(height * width);
  std::vector<float> weights(classes.size());
  for_sections(labels.shape.z, threads, [&](std::int64_t z) {
    const std::size_t begin = static_cast<std::size_t>(z) * plane;
    const std::vector<std::int32_t> instances =
        options.kind == LabelKind::instances
            ? section_instances(labels, z, options)
            : instances_of_classes(std::span(classes).subspan(begin, plane), kIgnoredClass, height, width);
    const std::vector<float> section = border_weights(instances, height, width, weight_map);
    std::copy(section.begin(), section.end(), weights.begin() + static_cast<std::ptrdiff_t>(begin));
  });
  return weights;
}

}  // namespace tessera
