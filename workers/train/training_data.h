#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/dataset_name.h"
#include "io/network_geometry.h"
#include "io/volume_reader.h"

namespace tessera {

/// Half-open range of sections.
struct Sections {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

struct TrainingDataOptions {
  DatasetName raw, labels;
  Sections sections;          ///< those to train on
  std::int64_t classes = 2;   ///< that labels tell apart; 2: voxels above 0 are class 1
  std::int64_t context = 0;   ///< sections before and after the labelled one that the network sees
};

/// One training input with its answer. Square; before augmentation.
struct Sample {
  std::int64_t channels = 1;
  std::int64_t input_side = 0, output_side = 0;
  std::vector<float> input;           ///< (channels, input_side, input_side), normalised
  std::vector<std::uint8_t> classes;  ///< (output_side, output_side), class of each pixel
};

/// The annotated sections of one volume, held in memory. The first use of a section with NaN, or of labels
/// with more classes than said, is an Error naming the place.
class TrainingData {
 public:
  /// Errors: Error for unreadable data; UsageError when raw and labels differ in shape or the sections lie
  /// outside of them.
  explicit TrainingData(const TrainingDataOptions& options);

  const VolumeInfo& raw_info() const { return raw_info_; }
  const TrainingDataOptions& options() const { return options_; }
  std::int64_t network_channels() const { return raw_info_.channels * (2 * options_.context + 1); }

  /// Mean and standard deviation of the raw voxels of the training sections.
  double mean() const { return mean_; }
  double std() const { return std_; }
  /// Voxels of each class in the training sections.
  const std::vector<std::int64_t>& class_counts() const { return class_counts_; }

  /// The sample whose output starts at (z, y, x); beyond the section everything is mirrored. The input is
  /// normalised with (v - mean) / std.
  Sample cut(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t input_side, const NetworkGeometry& geometry,
             double mean, double std) const;

 private:
  void measure();

  TrainingDataOptions options_;
  VolumeInfo raw_info_;
  Box raw_box_, label_box_;  ///< what is held
  VoxelBuffer raw_, labels_;
  double mean_ = 0, std_ = 1;
  std::vector<std::int64_t> class_counts_;
};

/// The labels of a box as classes 0 to classes - 1. Errors: Error naming `name` and place for a class that
/// does not exist.
std::vector<std::uint8_t> label_classes(const VoxelBuffer& labels, const Box& box, std::int64_t classes,
                                        const DatasetName& name);

/// Throws UsageError unless the two volumes have one shape and hold the sections.
void require_same_shape(const VolumeInfo& raw, const VolumeInfo& labels);
void require_sections(const Sections& sections, const VolumeInfo& volume, const std::string& key);

}  // namespace tessera
