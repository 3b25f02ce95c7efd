#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/volume/volume.h"
#include "pipeline/config/experiment.h"
#include "pipeline/run/run_folder.h"
#include "workers/network/network_traits.h"
#include "workers/network/normalisation.h"
#include "workers/network/tile_network.h"

namespace tessera {

/// The network of an inference, the same on every rank: a checkpoint, or a TorchScript file.
struct InferenceNetwork {
  std::string name;            ///< its file
  std::string digest;          ///< SHA-256 of what it computes with, whatever file it came from
  std::int64_t iteration = 0;  ///< of its training; 0 when unknown
  NetworkTraits traits;
  std::optional<Normalisation> normalisation;  ///< that it was trained with, when known
  bool normalised_by_volume = false;           ///< it was trained with each volume's own instead
  /// Makes it ready to predict; may be called several times, on ranks that are workers only. Errors: as
  /// make_tile_network.
  std::function<std::unique_ptr<TileNetwork>(Precision, const Device&, ExactTiles)> make;
  /// The same in float32, for the comparison of one tile.
  std::function<std::unique_ptr<TileNetwork>(const Device&)> make_reference;
};

/// Collective. Loads what the experiment names: `model.torchscript`, else `infer.checkpoint`. A TorchScript
/// network is probed first, and what the probe finds is said (by the root). Errors, on every rank:
/// UsageError, Error.
InferenceNetwork load_inference_network(const ExperimentConfig& config, const RunFolder& folder,
                                        const Communicator& world, bool is_worker);

/// Collective. How the values of `raw`, the volume of the inference, are normalised: one value, or one for
/// each section. Errors, on every rank: UsageError when the network does not say how it was trained and the
/// experiment neither.
struct ChosenNormalisation {
  Normalisation whole;
  std::vector<Normalisation> by_section;
};
ChosenNormalisation choose_normalisation(const InferConfig& config, const VolumeInfo& raw,
                                         const InferenceNetwork& network, const Communicator& world);

}  // namespace tessera
