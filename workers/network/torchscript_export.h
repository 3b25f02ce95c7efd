#pragma once

#include <filesystem>
#include <string>

#include "workers/network/network_description.h"
#include "workers/network/normalisation.h"

namespace tessera {

class Network;

/// The name under which an exported file tells margin, alignment, normalisation and the like, as JSON.
constexpr const char* kTorchScriptFacts = "tessera.json";

/// Writes a network as a TorchScript file, aside and put in place. Its forward() maps raw values that are
/// normalised, (v - mean) / std, float32 (n, in_channels, h, w), to class probabilities (n, classes, h', w').
/// Any program with LibTorch runs it: torch.jit.load("network.pt"). `by_volume`: mean and std are to be those
/// of the volume that is predicted, which the file then says. Errors: Error.
void export_torchscript(const Network& network, const Normalisation& normalisation,
                        const std::filesystem::path& file, bool by_volume = false);

/// The Python-like text of its forward().
std::string torchscript_forward(const NetworkDescription& network);

}  // namespace tessera
