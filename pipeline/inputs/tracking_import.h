#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

/// A folder in the layout of the Cell Tracking Challenge (celltrackingchallenge.net, "Naming and file content
/// conventions"): frames `01/t000.tif`, masks `01_GT/SEG/man_seg000.tif` (gold truth) or
/// `01_ST/SEG/man_seg000.tif` (silver truth), markers `01_GT/TRA/man_track000.tif`. Frames are 2-D.
struct TrackingImport {
  std::filesystem::path folder;
  std::vector<std::string> sequences;  ///< such as "01"; empty: all that the folder has
  std::filesystem::path output;        ///< an HDF5 file; its other datasets stay
  bool skip_missing = false;           ///< frames that are missing by their numbers are no error
  bool silver = false;                 ///< the masks of the silver truth
  bool annotated = false;              ///< frames without a mask are left out
  bool partial = false;                ///< background of annotated frames is not annotated either
  bool overwrite = false;              ///< replace datasets that exist
};

/// The id of voxels that are not annotated, in `labels` and `masks`.
constexpr std::uint16_t kNotAnnotated = 65535;

/// Makes three datasets of each sequence. /01/raw: the frames (t, y, x). /01/masks: uint16 ids as in the
/// masks, 0 for background, kNotAnnotated in frames without a mask. /01/labels: the same for a training. In a
/// frame with a marker (TRA) that no mask covers, or with `partial`, background is kNotAnnotated too: cells
/// may be without a mask there. Only the gold truth has markers. Locks the output. Returns a line for each
/// dataset. Errors: UsageError where the folder is not of this layout, for masks without frames, of another
/// size or with the id 65535, and for 3-D masks; Error.
std::string import_tracking(const TrackingImport& options);

}  // namespace tessera
