#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/hdf5/checkpoint_file.h"
#include "workers/network/network_description.h"

namespace tessera {

class Network;

/// Path prefix of the moving averages of the weights in a checkpoint. A parameter's name follows.
inline constexpr const char* kAveragePrefix = "average/";
bool has_average(const Checkpoint& checkpoint);

/// Stores the options of the network's description, its weights and its batch statistics in a checkpoint.
void store_network(const Network& network, Checkpoint& checkpoint);
/// Loads the network for prediction. It has the averaged weights if the checkpoint contains an average, else
/// the last trained weights. Loading runs no code from the file. `name` names the checkpoint in messages.
/// Errors: Error if an array is missing or has another shape.
std::shared_ptr<Network> load_network(const Checkpoint& checkpoint, const std::string& name);
/// Loads only the description. Errors: Error if it is incomplete or not valid.
NetworkDescription load_description(const Checkpoint& checkpoint, const std::string& name);

/// The text of a checkpoint with the time when it was written, UTC, such as 2026-11-22T19:07:49Z.
inline constexpr const char* kWritten = "written";
/// "iteration 600, written 2026-11-22T19:07:49Z", as far as the checkpoint says so; else "".
std::string age_text(const Checkpoint& checkpoint);

/// A deep copy.
std::shared_ptr<Network> clone_network(const Network& network);

/// A new network with the weights of initialise_he.
std::shared_ptr<Network> make_network(const NetworkDescription& description, std::uint64_t seed);

}  // namespace tessera
