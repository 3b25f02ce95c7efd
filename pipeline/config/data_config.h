#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/volume/dataset_name.h"
#include "pipeline/config/image_input.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/samples/training_set.h"

namespace tessera {

/// The keys of an annotated volume, or of several that wildcards in `raw` and `labels` name.
struct VolumeConfig {
  std::string key = "data";  ///< its name in messages: "data", "data.volumes[2]"
  std::optional<DatasetName> raw, labels;
  std::optional<Sections> train_sections, validation_sections;
  LabelKind label_kind = LabelKind::classes;
  bool invert_labels = false;
  std::optional<LabelId> ignore_label;
  std::optional<Index3> region_begin, region_end;  ///< z is 0; none: the section's
  std::optional<double> sampling_weight;           ///< of all its volumes together; none: by annotated pixels

  bool is_held_out() const { return !train_sections && validation_sections; }
};

/// `data:` an annotated volume, or the defaults of the volumes in the list.
struct DataConfig : VolumeConfig {
  std::vector<VolumeConfig> volumes;
  NormalisationScope normalisation = NormalisationScope::all;
  double min_foreground = 0;     ///< share of a sample's outputs
  bool allow_one_class = false;  ///< all annotated voxels may be of one class

  /// The list, or the one volume.
  std::vector<VolumeConfig> all_volumes() const;
  /// The volume whose labels have this name, or a pattern that it matches; null when no volume has.
  const VolumeConfig* volume_of_labels(const DatasetName& name) const;
  /// Whether `raw` or `labels` has wildcards: no one volume can then be the default of other sections.
  bool names_several() const;
};

/// Whether `name` is `pattern`, or one of the datasets that its wildcards stand for.
bool names_dataset(const DatasetName& pattern, const DatasetName& name);

/// Reads `data:`, and notes what of it are images. Problems are noted in the document. Returns the section of
/// each of all_volumes().
std::vector<ConfigSection> read_data(ConfigSection data, DataConfig& config, ImageInputs& images,
                                     bool training);

/// Notes volumes whose labels do not fit a network of `classes` classes, and sets `train.ignore_label` in
/// volumes without their own. `volumes` is the result of read_data.
void check_labels(std::vector<ConfigSection>& volumes, DataConfig& config, std::int64_t classes,
                  const std::optional<LabelId>& train_ignore_label);

}  // namespace tessera
