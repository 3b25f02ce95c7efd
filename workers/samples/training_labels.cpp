#include "workers/samples/training_labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <exception>
#include <mutex>
#include <type_traits>

#include "io/base/error.h"
#include "io/base/thread_group.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

/// Calls `function(index, id)` for every voxel of labels.
template <class Function>
void for_each_id(const VoxelBuffer& labels, const Function& function) {
  assert(labels.type != VoxelType::float32);  // open_labels() makes whole numbers of them
  with_voxel_type(labels.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_unsigned_v<T>) {
      const auto ids = labels.as<T>();
      for (std::size_t i = 0; i < ids.size(); ++i)
        function(i, static_cast<LabelId>(ids[i]));
    }
  });
}

/// The separated instances of section z of a buffer.
std::vector<std::int32_t> section_instances(const VoxelBuffer& labels, std::int64_t z,
                                            const LabelOptions& options) {
  const auto plane = static_cast<std::size_t>(labels.shape.y * labels.shape.x);
  const std::size_t begin = static_cast<std::size_t>(z) * plane;
  std::vector<std::int32_t> instances;
  with_voxel_type(labels.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_unsigned_v<T>) {
      const auto ids = labels.as<T>().subspan(begin, plane);
      if (options.ignore) {
        std::vector<T> kept(ids.begin(), ids.end());
        std::replace_if(
            kept.begin(), kept.end(), [&](T id) { return id == *options.ignore; }, T{0});
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
    for (std::int64_t z = 0; z < labels.shape.z; ++z) {
      const std::vector<std::int32_t> instances = section_instances(labels, z, options);
      for (std::size_t i = 0; i < plane; ++i)
        result[static_cast<std::size_t>(z) * plane + i] = instances[i] > 0 ? 1 : 0;
    }
  }
  for_each_id(labels, [&](std::size_t i, LabelId id) {
    const auto place = [&] {
      const auto at = static_cast<std::int64_t>(i);
      const Index3 s = labels.shape;
      return to_string(box.begin + Index3{at / (s.y * s.x), at / s.x % s.y, at % s.x});
    };
    if (options.ignore && id == *options.ignore) {
      result[i] = kIgnoredClass;
    } else if (is_negative_id(id)) {
      throw Error(
          fmt::format("{} holds the id {} at {}, which is neither a class nor a cell. If it marks voxels "
                      "without annotation, set data.ignore_label: {}",
                      name.text(), label_id_text(id), place(), static_cast<std::int64_t>(id)));
    } else if (options.kind == LabelKind::instances) {
      return;
    } else if (options.classes <= 2) {
      result[i] = (options.interior ? id == *options.interior : id > 0) != options.invert ? 1 : 0;
    } else if (id < static_cast<LabelId>(options.classes)) {
      result[i] = static_cast<std::uint8_t>(id);
      if (options.interior) result[i] = (id == *options.interior) != options.invert ? 1 : 0;
    } else {
      const std::string needed = id < kIgnoredClass
                                     ? fmt::format("Set model.classes to {} if it is a class", id + 1)
                                     : "Ids of cells need data.label_kind: instances and 2 classes";
      throw Error(fmt::format(
          "{} holds class {} at {}, but model.classes is {}. {}; set data.ignore_label: {} if it marks "
          "voxels that are not annotated",
          name.text(), id, place(), options.classes, needed, id));
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
