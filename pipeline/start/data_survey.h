#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/volume/label_id.h"
#include "io/volume/volume.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// Grey values of a raw volume, by the middle of its sections: at most 1024 x 1024 pixels of at most 256
/// evenly spread sections.
struct GreySurvey {
  std::int64_t sections = 0;  ///< that were looked at
  double mean = 0, deviation = 0, least = 0, most = 0;
  std::vector<std::int64_t> blank;  ///< of them, those of one grey value only, or nearly so
};

/// What label volumes hold, by the same pixels.
struct LabelSurvey {
  Box covered;                      ///< of the raw volume, by their offset
  std::vector<Sections> annotated;  ///< runs of sections with more than one id, in the raw volume's sections
  std::vector<LabelId> ids;         ///< the first different ids, ascending, without negative ones
  std::int64_t id_count = 0;        ///< different ids, up to kMostIds
  double zero_share = 0;            ///< voxels of id 0, of those that are not of a negative id
  std::vector<double> shares;       ///< of each of `ids`
  std::optional<LabelId> negative;  ///< a negative id, which marks voxels that are not annotated
  LabelKind kind = LabelKind::classes;
  std::int64_t classes = 2;  ///< of a network for these labels
  /// Of two classes: 0 is the interior. The voxels above 0 are darker, and part the others into many pieces,
  /// as membranes do.
  bool inverted = false;
  double grey_of_zero = 0, grey_above_zero = 0;  ///< mean raw values
  /// Of values that are neither two nor 0, 1, 2, ...: the one that probably marks voxels without annotation.
  std::optional<LabelId> perhaps_ignored;
  /// -1 or 1: the labels fit the raw sections before or after them clearly better. `contrast`: the difference
  /// of the mean grey values of 0 and above as given, and there.
  std::int64_t shift = 0;
  std::string misfit;  ///< LabelFit's doubt
  /// Of `instances`: the share of the voxels above 0 that have the same id in the next section, 0 to 1. It is
  /// high where an id is one object through the sections, and low where each section has ids of its own.
  double continued_share = 0;
  double contrast = 0, contrast_there = 0;

  static constexpr std::int64_t kMostIds = 65537;
};

struct DataSurvey {
  VolumeInfo raw;
  std::optional<VolumeInfo> labels;
  GreySurvey grey;
  LabelSurvey found;  ///< in the labels, where there are some
};

/// Reads a part of both volumes. Errors: UsageError when raw and labels do not fit together or look
/// exchanged, when no section has more than one id, or when the raw volume has no contrast at all; Error.
DataSurvey survey_data(const DatasetName& raw, const std::optional<DatasetName>& labels);

/// The sections to train on and to hold out: of each run of annotated sections, or of all together. A fifth,
/// at the end, at least one section, is held out. `one_section`: there is only one, which is parted along x.
struct SectionSplit {
  std::vector<Sections> train, validation;
  bool one_section = false;
};
SectionSplit split_sections(const std::vector<Sections>& annotated);

}  // namespace tessera
