#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// The volumes that `tessera init` starts from, as an experiment names them: `file.h5:/path`, or images.
struct InputChoice {
  std::string raw;
  std::optional<std::string> labels;
  std::vector<std::string> notes;  ///< what was chosen among several, one sentence each
};

/// Decides what the arguments name. `input`: `file.h5`, `file.h5:/path`, a TIFF stack, a PNG image or a
/// folder of sections. `labels`: likewise; none: looked for in the HDF5 file of the raw volume, where they
/// are the one dataset of whole numbers of the raw volume's shape, or the one with a usual name (`labels`,
/// `neuron_ids`, ...). Reads the listings of HDF5 files only. Errors: UsageError, with the candidates, where
/// none or several could be meant; Error for unreadable files.
InputChoice choose_inputs(const std::string& input, const std::optional<std::string>& labels);

}  // namespace tessera
