#include "pipeline/infer/inference_network.h"

#include <fmt/format.h>

#include <utility>

#include "io/base/error.h"
#include "io/base/log.h"
#include "io/base/sha256.h"
#include "io/hdf5/checkpoint_file.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/infer/job_description.h"
#include "pipeline/infer/network_ensemble.h"
#include "pipeline/run/checkpoint_choice.h"
#include "workers/infer/volume_statistics.h"
#include "workers/mpi/agreement.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/torchscript_network.h"

namespace tessera {
namespace {

InferenceNetwork from_checkpoint(const ExperimentConfig& config, const LoadedCheckpoint& loaded,
                                 const Communicator& world, bool is_worker) {
  InferenceNetwork network;
  on_every_rank(world, [&] {
    const Checkpoint& checkpoint = loaded.checkpoint;
    network.name = loaded.name;
    network.traits = NetworkTraits(load_description(checkpoint, loaded.name));
    const auto iteration = checkpoint.counters.find("iteration");
    if (iteration != checkpoint.counters.end()) network.iteration = iteration->second;
    const auto found = checkpoint.numbers.find("normalisation");
    if (found != checkpoint.numbers.end() && found->second.size() == 2)
      network.normalisation = {found->second[0], found->second[1]};
    network.normalised_by_volume = checkpoint.texts.contains("normalisation");
    network.trained_on = RawFacts::of(checkpoint);
    if (const auto trained = checkpoint.texts.find("config"); trained != checkpoint.texts.end())
      network.training_configs = {trained->second};
    network.note = age_text(checkpoint);
    if (world.is_root()) network.digest = network_digest(checkpoint);
    if (!is_worker) return;
    const std::shared_ptr<Network> loaded_network = load_network(checkpoint, loaded.name);
    network.make = [loaded_network](Precision precision, const Device& device, ExactTiles exact_tiles) {
      return make_tile_network(*loaded_network, precision, device, exact_tiles);
    };
    network.make_reference = [loaded_network](const Device& device) {
      return make_reference_network(*loaded_network, device);
    };
  });
  // A config without model keys equals one that sets every key to its default.
  const bool has_model_keys = !difference_between(config.network(), ExperimentConfig().network()).empty();
  if (world.is_root() && has_model_keys) {
    const std::string difference = difference_between(config.network(), *network.traits.description);
    if (!difference.empty())
      spdlog::warn("model: differs from the checkpoint's network, which is used: {}", difference);
  }
  return network;
}

/// The experiment's description of a TorchScript file, completed by the file's own attributes.
TorchScriptModel describe_torchscript(const ExperimentConfig& config,
                                      std::optional<Normalisation>& normalisation, bool& by_volume) {
  const TorchScriptConfig& said = *config.model.torchscript;
  TorchScriptModel model;
  const TorchScriptFile file = read_torchscript_file(said.file);
  if (const auto facts = read_torchscript_facts(file)) {
    model = facts->model;
    normalisation = {facts->mean, facts->std};
    by_volume = facts->by_volume;
  } else if (!said.margin || !said.alignment) {
    throw UsageError(
        fmt::format("model.torchscript: {} lacks the attributes that tiling needs: set model.margin (pixels "
                    "lost or not to be trusted on each side) and model.alignment (2^(number of poolings))",
                    said.file.string()));
  } else {
    model.padding = config.model.padding;
    model.in_channels = config.model.in_channels;
    model.classes = config.model.classes;
    model.activation = config.model.classes == 1 ? Activation::sigmoid : Activation::softmax;
  }
  model.file = file;
  if (said.margin) model.margin = *said.margin;
  if (said.alignment) model.alignment = *said.alignment;
  if (said.activation) model.activation = *said.activation;
  return model;
}

/// The root's information on a TorchScript network, for the other ranks.
struct TorchScriptMessage {
  NetworkGeometry geometry;
  double bytes_per_pixel = 0;
  std::int64_t in_channels = 1, classes = 1;
  Activation activation = Activation::softmax;
  std::optional<Normalisation> normalisation;
  bool normalised_by_volume = false;
};

/// Copies the root's file to every rank. The file system sees one reader for any number of ranks.
TorchScriptFile broadcast_torchscript(const std::filesystem::path& name, const TorchScriptFile& at_root,
                                      const Communicator& world) {
  if (world.size() == 1) return at_root;
  std::vector<std::byte> content;
  if (world.is_root()) content = *at_root.content;
  world.broadcast(content);
  return {name, std::make_shared<const std::vector<std::byte>>(std::move(content))};
}

InferenceNetwork from_torchscript(const ExperimentConfig& config, const Communicator& world, bool is_worker) {
  InferenceNetwork network;
  TorchScriptModel model;
  TorchScriptMessage found;
  on_root(world, [&] {
    model = describe_torchscript(config, found.normalisation, found.normalised_by_volume);
    const TorchScriptProbe probe = probe_torchscript(model);
    found.geometry = probe.traits.geometry;
    found.bytes_per_pixel = probe.traits.bytes_per_pixel;
    found.in_channels = model.in_channels;
    found.classes = model.classes;
    found.activation = model.activation;
    spdlog::info("{}: {}; a tile and a larger one around it differ by up to {:.2g} in probability",
                 model.file.name.string(), probe.traits.geometry.legal_sides_text(512),
                 probe.tile_dependence);
    constexpr double kRounding = 1e-3;
    if (probe.tile_dependence > kRounding && config.infer.blending == Blending::crop) {
      throw UsageError(
          fmt::format("model.torchscript: {} answers differently by up to {:.2g} when its tile is larger, so "
                      "tiles would show seams: raise "
                      "model.margin or model.alignment, or, for a network that normalises each tile by "
                      "itself, set infer.blend: linear",
                      model.file.name.string(), probe.tile_dependence));
    }
    Sha256 digest;
    digest.add(*model.file.content);
    network.digest = digest.hex();
  });
  world.broadcast(std::as_writable_bytes(std::span(&found, 1)));
  model.file = broadcast_torchscript(config.model.torchscript->file, model.file, world);
  network.name = model.file.name.string();
  network.normalisation = found.normalisation;
  network.normalised_by_volume = found.normalised_by_volume;
  network.traits.geometry = found.geometry;
  network.traits.bytes_per_pixel = found.bytes_per_pixel;
  network.traits.in_channels = found.in_channels;
  network.traits.classes = found.classes;
  network.traits.activation = found.activation;
  // The file's bytes stay in memory beside the network: a second one, in float32, may be made from them.
  network.traits.weight_bytes = 2 * static_cast<std::int64_t>(model.file.content->size());
  if (is_worker) {
    network.make = [model](Precision precision, const Device& device, ExactTiles) {
      return make_torchscript_network(model, precision, device);
    };
    network.make_reference = [model](const Device& device) {
      return make_torchscript_network(model, Precision::float32, device);
    };
  }
  return network;
}

/// The same volume in another scale would be predicted without an error, and wrongly. Another type is told
/// where the grey levels are not those of the training.
std::vector<std::string> grey_level_doubts(const VolumeInfo& raw, const RawFacts& trained_on,
                                           const Normalisation& expected) {
  std::optional<Normalisation> found;
  try {
    found = sampled_statistics(raw);
  } catch (const Error&) {
    return {};  // the block that needs the voxels reports the error
  }
  std::vector<std::string> doubts;
  if (!found || !is_near(*found, expected)) doubts.push_back(trained_on.type_doubt(raw));
  if (found && is_far(*found, expected)) {
    doubts.push_back(fmt::format(
        "{}: its grey levels (mean {:.4g}, deviation {:.4g} of a sample) are far from those that the network "
        "is made for (mean {:.4g}, deviation {:.4g}): the prediction is probably wrong. Set "
        "infer.normalisation to volume or section, or convert the volume.",
        raw.name.text(), found->mean, found->std, expected.mean, expected.std));
  }
  return doubts;
}

}  // namespace

InferenceNetwork load_inference_network(const ExperimentConfig& config, const RunFolder& folder,
                                        const Communicator& world, bool is_worker) {
  if (config.model.torchscript) return from_torchscript(config, world, is_worker);
  const std::vector<std::string>& members = config.infer.ensemble;
  if (members.empty()) {
    return from_checkpoint(config, load_named_checkpoint(config.infer.checkpoint, folder, world), world,
                           is_worker);
  }
  std::vector<InferenceNetwork> networks;
  for (const std::string& one : members) {
    const LoadedCheckpoint loaded = load_checkpoint_of(one, "infer.ensemble", world);
    networks.push_back(from_checkpoint(config, loaded, world, is_worker));
  }
  InferenceNetwork ensemble;
  on_every_rank(world, [&] {
    ensemble = ensemble_of(std::move(networks), config.infer.normalisation == NormalisationKind::checkpoint);
  });
  return ensemble;
}

ChosenNormalisation choose_normalisation(const InferConfig& config, const VolumeInfo& raw,
                                         const InferenceNetwork& network, const Communicator& world) {
  ChosenNormalisation chosen;
  switch (config.normalisation) {
    case NormalisationKind::volume:
      chosen.whole = volume_statistics(raw, world);
      break;
    case NormalisationKind::section:
      chosen.by_section = section_statistics(raw, world);
      break;
    case NormalisationKind::fixed:
      chosen.whole = config.fixed_normalisation;
      break;
    case NormalisationKind::checkpoint:
      if (!network.normalisation) {
        throw UsageError(fmt::format(
            "{} does not say how raw values were normalised for it: set infer.normalisation to volume, "
            "section, or fixed with infer.mean_and_std",
            network.name));
      }
      chosen.whole = network.normalised_by_volume ? volume_statistics(raw, world) : *network.normalisation;
      break;
  }
  chosen.is_given = config.normalisation == NormalisationKind::fixed ||
                    (config.normalisation == NormalisationKind::checkpoint && !network.normalised_by_volume);
  return chosen;
}

std::vector<std::string> doubts_about(const VolumeInfo& raw, double redundancy,
                                      const InferenceNetwork& network,
                                      const ChosenNormalisation& normalisation) {
  std::vector<std::string> doubts = shape_doubts(raw, redundancy);
  doubts.push_back(network.trained_on.voxel_size_doubt(raw));
  if (normalisation.is_given) {
    for (std::string& doubt : grey_level_doubts(raw, network.trained_on, normalisation.whole))
      doubts.push_back(std::move(doubt));
  }
  std::erase(doubts, "");
  return doubts;
}

}  // namespace tessera
