#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "io/geometry/box.h"
#include "io/volume/dataset_name.h"
#include "pipeline/config/data_config.h"
#include "pipeline/config/infer_config.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// How objects are made.
enum class SegmentMethod {
  watershed,   ///< a watershed, and merges of its basins by their mean affinity
  components,  ///< connected components of a threshold, or of equal labels
};
constexpr auto enum_names(SegmentMethod) {
  return std::to_array<EnumName<SegmentMethod>>(
      {{SegmentMethod::watershed, "watershed"}, {SegmentMethod::components, "components"}});
}

/// What the prediction holds.
enum class SegmentInput {
  probability,  ///< of each voxel, to be in a cell
  affinities,   ///< of each voxel and its neighbours, to be in one cell
};
constexpr auto enum_names(SegmentInput) {
  return std::to_array<EnumName<SegmentInput>>(
      {{SegmentInput::probability, "probability"}, {SegmentInput::affinities, "affinities"}});
}

/// How the threshold of the result is chosen.
enum class ThresholdChoice {
  none,        ///< it is the last one of the list
  voi,         ///< by the smallest variation of information
  rand,        ///< by the smallest adapted Rand error
  vrand_thin,  ///< by the largest V^Rand after thinning of borders
};
constexpr auto enum_names(ThresholdChoice) {
  return std::to_array<EnumName<ThresholdChoice>>({{ThresholdChoice::none, "none"},
                                                   {ThresholdChoice::voi, "voi"},
                                                   {ThresholdChoice::rand, "rand"},
                                                   {ThresholdChoice::vrand_thin, "vrand_thin"}});
}

/// `segment:`
struct SegmentConfig {
  bool wanted = false;  ///< the experiment has this section, or the verb segments
  /// prediction, output: none where wildcards name several volumes, each of which has its own.
  std::optional<DatasetName> prediction, output, mask;
  SegmentInput input = SegmentInput::probability;
  std::vector<Index3> offsets;  ///< of the channels of affinities; empty: those of the prediction's attribute
  SegmentMethod method = SegmentMethod::watershed;
  std::optional<SegmentMode> mode;                 ///< none: by the resolution
  std::optional<Index3> region_begin, region_end;  ///< none: the whole volume
  double saturated = 0.995;
  std::optional<std::int64_t> fragment_size;  ///< none: 300, or 100 in mode sections
  double fragment_floor = 0;
  int smoothing = 0;
  MergeLinkage linkage = MergeLinkage::rounds;
  double threshold = 0.5;
  std::vector<double> thresholds;  ///< falling; the last one is `threshold`
  ThresholdChoice choose = ThresholdChoice::none;
  std::optional<DatasetName> choose_labels;
  std::optional<LabelId> choose_ignored;    ///< that of data, where the labels are those of data
  std::optional<Sections> choose_sections;  ///< of the prediction; there is one where `choose` is not none
  double link_below = 0.6, link_jaccard = 0.35;
  bool link_mutual = true;
  std::string link_key;  ///< a key of links that the file has; "" for none
  std::int64_t small_size = 0;
  double small_threshold = 0.2;
  std::int64_t min_size = 0;
  double background_below = 0;
  bool compact_ids = false;
  bool supervoxels = false;            ///< they become a volume, too
  std::int64_t connectivity = 6;       ///< of components: 6, 18, 26, or 4, 8 within sections
  bool fill_holes = false;             ///< of components, within sections
  bool of_labels = false;              ///< components of equal labels
  std::optional<Index3> block, chunk;  ///< none: automatic
  bool keep_graph = true;
  std::int64_t memory_budget = 0;  ///< bytes per worker; 0: automatic
  int threads = 0;
  int max_retries = 2;
  double watchdog_minutes = 30;
};

/// What the defaults of `segment:` come from.
struct SegmentDefaults {
  const DataConfig& data;
  const InferConfig& infer;
  std::filesystem::path run_folder;
  bool wanted = true;  ///< the experiment has the section, or the verb segments
};

/// Reads `segment:`. The default of `segment.prediction` is `infer.output`, that of `segment.output` a file
/// in the run folder, and
/// that of `segment.choose_labels` is `data.labels`. `needed`: the verb segments. Problems are noted in the
/// document.
SegmentConfig read_segment(ConfigSection segment, const SegmentDefaults& defaults, bool needed);

}  // namespace tessera
