#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "io/geometry/section_range.h"
#include "io/volume/dataset_name.h"
#include "io/volume/volume.h"

namespace tessera {

/// Ids of objects as a result in the layout of the Cell Tracking Challenge: a folder such as 01_RES.
struct TrackingExport {
  std::filesystem::path output;  ///< the folder; complete, or as it was before
  SectionRange sections;
  std::string frames;  ///< numbers of the sections' frames, "10 17 19", of all sections; "": 0, 1, 2, ...
};

/// Writes mask000.tif, ... (uint16), and res_track.txt: `L B E P`, label, first and last frame, parent 0. A
/// label is one id in frames that follow each other by their numbers; an id that comes back has a new label.
/// Labels count from 1 by frame, and within a frame by their first pixel. `volume`: (z, y, x) of unsigned
/// integers; z is time. Returns the number of labels. Errors: UsageError for other types, for more than
/// 65,535 labels, and where `frames` does not fit; Error.
std::int64_t export_tracking(Volume& volume, const TrackingExport& options);

}  // namespace tessera
