#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/base/enum_names.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"
#include "io/volume/label_id.h"
#include "workers/samples/weight_map.h"

namespace tessera {

/// The meaning of the voxels of a label volume.
enum class LabelKind {
  classes,   ///< class ids; with up to two classes, all values above 0 are class 1
  instances  ///< cell ids, 0 for background: class 1, with a thin border of class 0 where cells touch
};
constexpr auto enum_names(LabelKind) {
  return std::to_array<EnumName<LabelKind>>(
      {{LabelKind::classes, "classes"}, {LabelKind::instances, "instances"}});
}

struct LabelOptions {
  std::int64_t classes = 2;  ///< of the network; 1 stands for two classes with one output
  LabelKind kind = LabelKind::classes;
  std::optional<LabelId> ignore = {};  ///< voxels of this id are excluded from training and scores
  bool invert = false;                 ///< up to two classes: 0 is class 1, all other values are class 0
  /// Labels of LabelKind::classes as two classes: this id is class 1, all others are class 0; `invert` swaps
  /// the two.
  std::optional<LabelId> interior = {};
};

/// The targets of a box: its labels as classes 0 to classes - 1, or kIgnoredClass, (z, y, x). Training,
/// validation and scores take them from here. `labels`: ids, as open_labels() reads them. Instances are
/// separated section by section. Errors: Error, naming `name` and the position, for a class that does not
/// exist and for a negative id that is not ignored; UsageError for instances with more than two classes.
std::vector<std::uint8_t> label_classes(const VoxelBuffer& labels, const Box& box,
                                        const LabelOptions& options, const DatasetName& name);

/// The border part of the weight maps of all sections, (z, y, x): of the instances in `labels`, or of the
/// connected components of `classes` (the result of label_classes). `threads` threads share the sections.
std::vector<float> label_border_weights(const VoxelBuffer& labels, const std::vector<std::uint8_t>& classes,
                                        const LabelOptions& options, const WeightMapOptions& weight_map,
                                        int threads);

}  // namespace tessera
