#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/volume/label_id.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// The annotated voxels of a training by class, and the ids that its labels hold.
struct ClassShares {
  std::vector<std::int64_t> counts;  ///< voxels of each class, without ignored ones
  std::vector<LabelId> ids;          ///< the first few different ids in the labels, ascending
  /// Whether labels of LabelKind::classes, of up to two classes, hold more than kMostClassValues ids.
  bool ids_look_like_cells = false;
  std::vector<std::string> notes = {};  ///< LabelDoubts about the volumes

  ClassShares& operator+=(const ClassShares& other);
  std::int64_t voxels() const;
  /// The number of classes that occur.
  std::int64_t present() const;
  /// "class 0: 24.1 %, class 1: 75.9 %".
  std::string text() const;
  /// One sentence for each class that has less than 0.1 percent of the voxels, one for ids that look like
  /// cells, and the notes.
  std::vector<std::string> doubts() const;
};

/// More different labels than so many are hardly a choice of names for two classes.
constexpr std::size_t kMostClassValues = 16;
/// Whether these ids, first_ids() of one volume, look like cells although they are to be classes.
bool look_like_cells(const std::vector<LabelId>& ids, const LabelOptions& options);

/// Errors: UsageError when no voxel is annotated, or one class has 99.9 percent of them or more and
/// `allow_one_class` is false.
void require_classes(const ClassShares& shares, bool allow_one_class);

/// Errors: UsageError when labels with more than two different ids are, voxel by voxel, the raw volume.
/// `raw`: of one channel, of the same box.
void require_other_than_raw(const VoxelBuffer& labels, const DatasetName& labels_name, const VoxelBuffer& raw,
                            const DatasetName& raw_name);

/// Counts the labels of a training volume, section by section. Reads the raw voxels of its first section, and
/// the middle of the others. Errors: as TrainingData.
ClassShares count_classes(const TrainingDataOptions& options);

/// The first few different ids of `labels`, ascending: at least one more than kMostClassValues, where there
/// are so many.
std::vector<LabelId> first_ids(const VoxelBuffer& labels);

}  // namespace tessera
