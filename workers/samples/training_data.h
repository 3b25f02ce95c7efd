#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/geometry/network_geometry.h"
#include "io/volume/dataset_name.h"
#include "io/volume/placed_volume.h"
#include "io/volume/volume.h"
#include "workers/network/normalisation.h"
#include "workers/samples/sample_warp.h"
#include "workers/samples/training_labels.h"

namespace tessera {

/// Half-open range of sections.
struct Sections {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

/// Sums over raw voxels, for their mean and deviation.
struct RawSums {
  double sum = 0, squares = 0, count = 0;
  RawSums& operator+=(const RawSums& other);
  /// A deviation of 0, of blank voxels, becomes 1.
  Normalisation normalisation() const;
};

struct TrainingDataOptions {
  DatasetName raw, labels;
  Sections sections;         ///< those to train on
  std::int64_t classes = 2;  ///< of the network; 2: voxels above 0 are class 1
  std::int64_t context = 0;  ///< sections before and after the labelled one in the input
  LabelKind label_kind = LabelKind::classes;
  std::optional<LabelId> ignore_label = std::nullopt;  ///< voxels of this id are not trained on
  WeightMapOptions weight_map = {};
  int threads = 1;                                   ///< for the weight map
  bool invert_labels = false;                        ///< 0 is class 1: LabelOptions::invert
  std::optional<PixelBounds> region = std::nullopt;  ///< the pixels of each section to train on; none: all
  std::int64_t reach = 1024;  ///< pixels of input around the region; beyond them the input is mirrored

  LabelOptions label_options() const { return {classes, label_kind, ignore_label, invert_labels}; }
};

/// One training input with its targets. Square; before augmentation.
struct Sample {
  std::int64_t channels = 1;
  std::int64_t sections = 1;  ///< the labelled one is in the middle; channel c is of section c % sections
  float black = 0;            ///< the normalised value of a raw 0
  std::int64_t input_side = 0, output_side = 0;
  std::vector<float> input;           ///< (channels, input_side, input_side), normalised
  std::vector<std::uint8_t> classes;  ///< (output_side, output_side), class of each pixel, or kIgnoredClass
  std::vector<float> border;          ///< likewise, the border part of the weight map; empty: none
};

/// The region of one held section: (y, x) each.
struct SectionView {
  std::int64_t z = 0, height = 0, width = 0;
  std::vector<float> raw;  ///< of the first channel
  std::span<const std::uint8_t> classes;
  std::span<const float> border;  ///< border part of the weight map; empty: none
};

/// The annotated sections of one volume, held in memory. Thread-safe. The first use of a section with NaN, or
/// of labels with a class that does not exist, throws an Error that names the position.
class TrainingData {
 public:
  /// Errors: Error for unreadable data; UsageError when raw and labels do not fit together (box_within) or
  /// the sections or the region lie outside of either.
  explicit TrainingData(const TrainingDataOptions& options);

  const VolumeInfo& raw_info() const { return raw_info_; }
  const TrainingDataOptions& options() const { return options_; }
  std::int64_t network_channels() const { return raw_info_.channels * (2 * options_.context + 1); }

  /// The pixels of a section to train on: the region, or all.
  const PixelBounds& region() const { return region_; }
  /// The number of training pixels, including ignored ones.
  double pixels() const;

  /// Mean and standard deviation of the raw training voxels.
  double mean() const { return normalisation_.mean; }
  double std() const { return normalisation_.std; }
  const Normalisation& normalisation() const { return normalisation_; }
  const RawSums& raw_sums() const { return raw_sums_; }
  /// The number of voxels of each class in the training sections, without ignored ones.
  const std::vector<std::int64_t>& class_counts() const { return class_counts_; }
  /// The first few different ids in the labels of the training sections, ascending.
  const std::vector<LabelId>& label_ids() const { return label_ids_; }
  /// LabelDoubts about the volume.
  const std::vector<std::string>& doubts() const { return doubts_; }
  /// The held voxels and their boxes in the volume.
  struct Held {
    const VoxelBuffer& raw;
    const Box& raw_box;
    const VoxelBuffer& classes;  ///< uint8
    const VoxelBuffer& border;   ///< float32; empty: the weight map has no border part
    const Box& label_box;
  };
  Held held() const { return {raw_, raw_box_, classes_, border_, label_box_}; }

  /// The first training section, for pictures: (y, x).
  SectionView first_section() const;

  /// The sample whose output starts at (z, y, x). Beyond the section everything is mirrored; outputs beyond a
  /// region are ignored. The input is normalised: (v - mean) / std. A warp other than the identity resamples
  /// once: the input bicubically, classes and border weights from the nearest pixel, so that a weight stays
  /// with its label.
  Sample cut(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t input_side,
             const NetworkGeometry& geometry, double mean, double std, const SampleWarp& warp = {}) const;
  /// The classes and border weights of that sample, without its input.
  Sample cut_targets(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t input_side,
                     const NetworkGeometry& geometry, const SampleWarp& warp = {}) const;

 private:
  void measure();
  void cut_input(const Index3& input_begin, double mean, double std, const SampleWarp& warp,
                 Sample& sample) const;
  VoxelBuffer cut_raw(const Box& box) const;
  VoxelBuffer cut_labels(const VoxelBuffer& held, const Box& box) const;
  void read_labels(Volume& labels);
  void look_at_sections();

  TrainingDataOptions options_;
  VolumeInfo raw_info_;
  Box raw_box_, label_box_;  ///< the held boxes
  PixelBounds region_;
  VoxelBuffer raw_;
  VoxelBuffer classes_;  ///< uint8, of label_box_
  VoxelBuffer border_;   ///< float32, likewise; empty where the weight map has no such part
  RawSums raw_sums_;
  Normalisation normalisation_;
  std::vector<std::int64_t> class_counts_;
  std::vector<LabelId> label_ids_;
  std::vector<std::string> doubts_;
};

/// The voxels of the raw volume that the labels cover, by their attributes `offset`. Errors: UsageError when
/// they do not fit together (box_within), or labels have several channels.
Box labelled_box(const VolumeInfo& raw, const VolumeInfo& labels);
/// Labels in the raw volume's coordinates. Errors: as labelled_box(); Error.
PlacedVolume open_labels_on(const VolumeInfo& raw, const DatasetName& labels);
/// Throws UsageError, naming `key`, unless the volume has the sections.
void require_sections(const Sections& sections, const VolumeInfo& volume, const std::string& key);
/// Throws UsageError, naming `key`, unless the region is inside the volume's sections.
void require_region(const PixelBounds& region, const VolumeInfo& volume, const std::string& key);

}  // namespace tessera
