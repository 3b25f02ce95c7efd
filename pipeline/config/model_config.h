#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "pipeline/config/yaml_reader.h"
#include "workers/network/network_traits.h"
#include "workers/network/unet.h"
#include "workers/network/window_network.h"

namespace tessera {

/// `model:` of a TorchScript network. Absent values are taken from the facts in its file.
struct TorchScriptConfig {
  std::filesystem::path file;
  std::optional<std::int64_t> margin, alignment;
  std::optional<Activation> activation;
};

/// `model:` the network's options, the preset that their defaults come from, and what replaces the network.
struct ModelConfig : UNetOptions {
  std::string preset = "unet2015";
  std::optional<TorchScriptConfig> torchscript;  ///< in place of a checkpoint, for inference

  /// Whether the network is that of preset ciresan2012. Of the options of a U-Net it has `in_channels`,
  /// `classes` and `base_filters`.
  bool is_window_network() const { return preset == "ciresan2012"; }
  NetworkDescription description() const {
    return is_window_network() ? describe_window_network(
                                     {.in_channels = in_channels, .classes = classes, .maps = base_filters})
                               : describe_unet(*this);
  }
};

/// Reads `model:`. Problems are noted in the document.
ModelConfig read_model(ConfigSection model);

}  // namespace tessera
