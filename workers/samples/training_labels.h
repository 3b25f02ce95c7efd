#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/base/enum_names.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"
#include "workers/samples/weight_map.h"

namespace tessera {

/// What the voxels of a label volume are.
enum class LabelKind {
  classes,   ///< ids of classes; with up to two classes all above 0 is class 1
  instances  ///< ids of cells, 0 for background: class 1, with a thin border of class 0 where cells touch
};
constexpr auto enum_names(LabelKind) {
  return std::to_array<EnumName<LabelKind>>(
      {{LabelKind::classes, "classes"}, {LabelKind::instances, "instances"}});
}

struct LabelOptions {
  std::int64_t classes = 2;  ///< of the network; 1 stands for two, told apart by one output
  LabelKind kind = LabelKind::classes;
  std::optional<std::int64_t> ignore;  ///< voxels of this value are neither trained on nor judged
  bool invert = false;                 ///< of classes, up to two: 0 is class 1, all else class 0
};

/// The labels of a box as classes 0 to classes - 1, or kIgnoredClass, (z, y, x). Instances are separated
/// section by section. Errors: Error naming `name` and place for a class that does not exist; UsageError for
/// instances of floating point, and for instances with more than two classes.
std::vector<std::uint8_t> label_classes(const VoxelBuffer& labels, const Box& box,
                                        const LabelOptions& options, const DatasetName& name);

/// The border part of the weight maps of all sections, (z, y, x): of the instances that `labels` holds, or of
/// the connected components of `classes` (those of label_classes). Sections are shared out over `threads`
/// threads.
std::vector<float> label_border_weights(const VoxelBuffer& labels, const std::vector<std::uint8_t>& classes,
                                        const LabelOptions& options, const WeightMapOptions& weight_map,
                                        int threads);

}  // namespace tessera
