#pragma once

#include <filesystem>
#include <string>

#include "workers/network/network_description.h"
#include "workers/network/normalisation.h"

namespace tessera {

class Network;

/// Name of the JSON record in an exported file: padding, margin, alignment, channels, classes, normalisation.
constexpr const char* kTorchScriptFacts = "tessera.json";

/// Writes a network as a TorchScript file. The file is written under a temporary name and then renamed.
/// Its forward() maps normalised raw values (v - mean) / std, float32 (n, in_channels, h, w), to class
/// probabilities (n, classes, h', w'). Any program with LibTorch can run it: torch.jit.load("network.pt").
/// `by_volume` is stored in the file: mean and std must be those of the predicted volume. Errors: Error.
void export_torchscript(const Network& network, const Normalisation& normalisation,
                        const std::filesystem::path& file, bool by_volume = false);

/// The TorchScript source of the exported network's forward().
std::string torchscript_forward(const NetworkDescription& network);

}  // namespace tessera
