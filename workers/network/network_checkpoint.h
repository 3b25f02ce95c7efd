#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/hdf5/checkpoint_file.h"
#include "workers/network/network_description.h"

namespace tessera {

class Network;

/// Where a checkpoint keeps the moving average of the weights, by parameter.
inline constexpr const char* kAveragePrefix = "average/";
bool has_average(const Checkpoint& checkpoint);

/// The options of its description, weights and batch statistics into a checkpoint, and back. Reading runs no
/// code of the file's.
void store_network(const Network& network, Checkpoint& checkpoint);
/// The network that predicts: with averaged weights where the checkpoint holds an average, else those that
/// were trained last. Errors: Error when an array is missing or of another shape.
std::shared_ptr<Network> load_network(const Checkpoint& checkpoint, const std::string& name);
/// Only its description. Errors: Error.
NetworkDescription load_description(const Checkpoint& checkpoint, const std::string& name);

/// A copy that shares nothing.
std::shared_ptr<Network> clone_network(const Network& network);

/// A new network with the paper's initialisation.
std::shared_ptr<Network> make_network(const NetworkDescription& description, std::uint64_t seed);

}  // namespace tessera
