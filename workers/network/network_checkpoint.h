#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/hdf5/checkpoint_file.h"
#include "workers/network/unet_options.h"

namespace tessera {

class UNetImpl;

/// Where a checkpoint keeps the moving average of the weights, by parameter.
inline constexpr const char* kAveragePrefix = "average/";
bool has_average(const Checkpoint& checkpoint);

/// Options, weights and batch statistics into a checkpoint, and back. Reading runs no code of the file's.
void store_network(const UNetImpl& network, Checkpoint& checkpoint);
/// The network that predicts: with averaged weights where the checkpoint holds an average, else those that
/// were trained last. Errors: Error when an array is missing or of another shape.
std::shared_ptr<UNetImpl> load_network(const Checkpoint& checkpoint, const std::string& name);
/// Only the options. Errors: Error.
UNetOptions load_network_options(const Checkpoint& checkpoint, const std::string& name);

/// A copy that shares nothing.
std::shared_ptr<UNetImpl> clone_network(const UNetImpl& network);

/// A new network with the paper's initialisation.
std::shared_ptr<UNetImpl> make_network(const UNetOptions& options, std::uint64_t seed);

/// "" when equal, else what differs: "base_filters is 64 here, 16 there".
std::string difference_between(const UNetOptions& here, const UNetOptions& there);

}  // namespace tessera
