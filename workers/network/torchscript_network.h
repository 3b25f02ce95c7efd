#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "workers/network/network_traits.h"
#include "workers/network/tile_network.h"

namespace tessera {

/// A TorchScript file as one rank has read it; the others get its bytes from there.
struct TorchScriptFile {
  std::filesystem::path name;
  std::shared_ptr<const std::vector<std::byte>> content;
};
/// Errors: Error when there is none or it cannot be read.
TorchScriptFile read_torchscript_file(const std::filesystem::path& name);

/// A network from elsewhere, as a TorchScript file. Loading one runs code found in the file: only files from
/// people one trusts. Its forward() maps (1, in_channels, h, w), float32 normalised, to (1, classes, h', w').
struct TorchScriptModel {
  TorchScriptFile file;
  Padding padding = Padding::valid;  ///< valid: h' = h - 2 margin; same: h' = h
  std::int64_t margin = 0;  ///< pixels of the answer's rim that must not be used (same), or are lost (valid)
  std::int64_t alignment = 1;  ///< tiles start on multiples of it: 2^(number of poolings)
  std::int64_t in_channels = 1, classes = 2;
  Activation activation = Activation::softmax;
};

/// What a file that `tessera export-model` wrote says of itself. Nothing for other files. Errors: Error.
struct TorchScriptFacts {
  TorchScriptModel model;
  double mean = 0, std = 1;  ///< of the normalisation it was trained with
  bool by_volume = false;    ///< it was trained with each volume's own instead
};
std::optional<TorchScriptFacts> read_torchscript_facts(const TorchScriptFile& file);

/// Loads a TorchScript network. Errors: Error, UsageError for a precision that the device lacks.
std::unique_ptr<TileNetwork> make_torchscript_network(const TorchScriptModel& model, Precision precision,
                                                      const Device& device);

/// What a probe of the network found.
struct TorchScriptProbe {
  NetworkTraits traits;
  /// The largest difference in probability, over what both answer for, between a tile and a larger one around
  /// it. Above rounding it means seams: the margin is too small, or the network normalises each tile by
  /// itself.
  double tile_dependence = 0;
};

/// Runs the network on small random inputs: finds which input sides are legal, measures its memory and
/// whether what it says depends on the tile. Errors: UsageError when its answers do not have the declared
/// size or classes.
TorchScriptProbe probe_torchscript(const TorchScriptModel& model);

}  // namespace tessera
