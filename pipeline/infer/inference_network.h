#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/volume/volume.h"
#include "pipeline/config/experiment.h"
#include "pipeline/run/raw_facts.h"
#include "pipeline/run/run_folder.h"
#include "workers/network/network_traits.h"
#include "workers/network/normalisation.h"
#include "workers/network/tile_network.h"

namespace tessera {

/// The network of an inference: a checkpoint, several checkpoints, or a TorchScript file. The same on every
/// rank.
struct InferenceNetwork {
  std::string name;            ///< its file name
  std::string digest;          ///< SHA-256 of its options and weights, independent of the file
  std::int64_t iteration = 0;  ///< of its training; 0 when unknown
  std::string note;            ///< age_text() of a checkpoint
  NetworkTraits traits;
  std::optional<Normalisation> normalisation;  ///< that was used in training, when known
  bool normalised_by_volume = false;  ///< training normalised each volume by its own statistics instead
  RawFacts trained_on;                ///< of a checkpoint
  /// The resolved experiments of its trainings, where known: one, of an ensemble several.
  std::vector<std::string> training_configs;
  /// Makes the network ready to predict. May be called several times, on worker ranks only. Errors: as
  /// make_tile_network.
  std::function<std::unique_ptr<TileNetwork>(Precision, const Device&, ExactTiles)> make;
  /// The same in float32, for the comparison of one tile.
  std::function<std::unique_ptr<TileNetwork>(const Device&)> make_reference;
};

/// Collective. Loads the experiment's network: `model.torchscript`, else `infer.ensemble`, else
/// `infer.checkpoint`. A TorchScript network is probed first, and the root logs the result. Errors, on every
/// rank: UsageError, Error.
InferenceNetwork load_inference_network(const ExperimentConfig& config, const RunFolder& folder,
                                        const Communicator& world, bool is_worker);

/// Collective. Chooses the normalisation of `raw`, the volume of the inference: one value, or one for each
/// section. Errors, on every rank: UsageError when neither the network nor the experiment specifies one.
struct ChosenNormalisation {
  Normalisation whole;
  std::vector<Normalisation> by_section;
  bool is_given = false;  ///< it is not measured on `raw`
};
ChosenNormalisation choose_normalisation(const InferConfig& config, const VolumeInfo& raw,
                                         const InferenceNetwork& network, const Communicator& world);

/// A sentence for each property of `raw` because of which the network's prediction is probably wrong or
/// wasteful: voxel size, type, grey levels, order of the axes, redundancy of the plan. Reads a sample of the
/// voxels where the normalisation is not measured.
std::vector<std::string> doubts_about(const VolumeInfo& raw, double redundancy,
                                      const InferenceNetwork& network,
                                      const ChosenNormalisation& normalisation);

}  // namespace tessera
