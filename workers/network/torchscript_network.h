#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "workers/network/network_traits.h"
#include "workers/network/tile_network.h"

namespace tessera {

/// The content of a TorchScript file. One rank reads it and broadcasts the bytes.
struct TorchScriptFile {
  std::filesystem::path name;
  std::shared_ptr<const std::vector<std::byte>> content;
};
/// Errors: Error if the file does not exist, cannot be read, or is damaged: each entry of the archive is
/// compared with its checksum, and the headers with each other.
TorchScriptFile read_torchscript_file(const std::filesystem::path& name);

/// An external network in a TorchScript file. Loading runs code from the file, so load only trusted files.
/// Its forward() maps normalised float32 values (1, in_channels, h, w) to (1, classes, h', w').
struct TorchScriptModel {
  TorchScriptFile file;
  Padding padding = Padding::valid;  ///< valid: h' = h - 2 margin; same: h' = h
  std::int64_t margin = 0;     ///< pixels at each output edge that are not valid (same) or missing (valid)
  std::int64_t alignment = 1;  ///< tiles start at its multiples: 2^(number of poolings)
  std::int64_t in_channels = 1, classes = 2;
  Activation activation = Activation::softmax;
};

/// The record that `tessera export-model` writes into a file.
struct TorchScriptFacts {
  TorchScriptModel model;
  double mean = 0, std = 1;  ///< normalisation of the training data
  bool by_volume = false;    ///< training used the mean and std of each volume instead
};
/// Reads the record. No value for files without one. Errors: Error if the file or the record is damaged.
std::optional<TorchScriptFacts> read_torchscript_facts(const TorchScriptFile& file);

/// Loads a TorchScript network. Errors: Error; UsageError if the device does not support the precision.
std::unique_ptr<TileNetwork> make_torchscript_network(const TorchScriptModel& model, Precision precision,
                                                      const Device& device);

/// The result of a probe of a network.
struct TorchScriptProbe {
  NetworkTraits traits;
  /// The largest difference in probability between a tile and a larger tile around it, over their common
  /// output. A value above rounding means seams: the margin is too small, or the network normalises each tile
  /// separately.
  double tile_dependence = 0;
};

/// Runs the network on small random inputs. Finds the legal input sides, and measures the memory and the tile
/// dependence. Errors: UsageError if the output does not have the declared size or classes.
TorchScriptProbe probe_torchscript(const TorchScriptModel& model);

}  // namespace tessera
