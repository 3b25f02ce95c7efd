#include "pipeline/infer/network_ensemble.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "io/base/error.h"
#include "io/base/sha256.h"
#include "workers/network/ensemble_network.h"

namespace tessera {
namespace {

std::string shape_text(const NetworkTraits& traits) {
  return fmt::format("{} input channels, {} classes, {} padding, margin {}, sides {} k + {}",
                     traits.in_channels, traits.classes, name_of(traits.geometry.padding),
                     traits.geometry.margin, traits.geometry.alignment, traits.geometry.side_remainder);
}

void require_fit(const InferenceNetwork& first, const InferenceNetwork& other, bool own_normalisation) {
  const std::string here = shape_text(first.traits), there = shape_text(other.traits);
  if (here != there) {
    throw UsageError(
        fmt::format("infer.ensemble: the networks differ: {} has {}; {} has {}. Name networks of one shape",
                    first.name, here, other.name, there));
  }
  if (!own_normalisation) return;
  if (first.normalised_by_volume != other.normalised_by_volume) {
    const auto kind = [](const InferenceNetwork& one) {
      return one.normalised_by_volume ? "volume" : "training";
    };
    throw UsageError(
        fmt::format("infer.ensemble: {} was trained on voxels normalised by {}, {} by {}: set "
                    "infer.normalisation to volume, section or fixed",
                    first.name, kind(first), other.name, kind(other)));
  }
  if (first.normalisation.has_value() == other.normalisation.has_value()) return;
  const InferenceNetwork& silent = first.normalisation ? other : first;
  throw UsageError(
      fmt::format("infer.ensemble: {} does not say how raw values were normalised for it: set "
                  "infer.normalisation to volume, section, or fixed with infer.mean_and_std",
                  silent.name));
}

/// Memory of a tile of about 512 pixels, to compare networks of one geometry.
std::int64_t tile_bytes(const NetworkTraits& traits) {
  const std::int64_t side = traits.geometry.input_side_for(512);
  return traits.tile_memory(side, side, Precision::float32, false);
}

/// Turns the input of the first network into that of another one.
struct InputChange {
  double scale = 1, shift = 0;
};

InputChange change_between(const InferenceNetwork& first, const InferenceNetwork& other,
                           bool own_normalisation) {
  if (!own_normalisation || first.normalised_by_volume || !first.normalisation) return {};
  const Normalisation& from = *first.normalisation;
  const Normalisation& to = *other.normalisation;
  return {from.std / to.std, (from.mean - to.mean) / to.std};
}

}  // namespace

InferenceNetwork ensemble_of(std::vector<InferenceNetwork> networks, bool own_normalisation) {
  if (networks.size() == 1) return std::move(networks.front());
  InferenceNetwork ensemble = networks.front();
  Sha256 digest;
  std::vector<InputChange> changes;
  ensemble.training_configs.clear();
  ensemble.traits.weight_bytes = 0;
  for (const InferenceNetwork& one : networks) {
    require_fit(networks.front(), one, own_normalisation);
    const InputChange change = change_between(networks.front(), one, own_normalisation);
    changes.push_back(change);
    digest.add(fmt::format("{} {} {}\n", one.digest, change.scale, change.shift));
    for (const std::string& config : one.training_configs) {
      if (std::ranges::find(ensemble.training_configs, config) == ensemble.training_configs.end())
        ensemble.training_configs.push_back(config);
    }
    ensemble.traits.weight_bytes += one.traits.weight_bytes;
    // One network computes at a time: tiles are planned for the one that needs most.
    if (tile_bytes(one.traits) > tile_bytes(ensemble.traits))
      ensemble.traits.description = one.traits.description;
  }
  if (!ensemble.digest.empty()) ensemble.digest = digest.hex();
  ensemble.traits.activation = Activation::none;
  ensemble.name = fmt::format("{} and {} other{}", networks.front().name, networks.size() - 1,
                              networks.size() == 2 ? "" : "s");
  ensemble.note.clear();
  if (!ensemble.make) return ensemble;
  const auto members = std::make_shared<const std::vector<InferenceNetwork>>(std::move(networks));
  const auto together = [members, changes](const auto& make_one) {
    std::vector<EnsembleMember> made;
    for (std::size_t i = 0; i < members->size(); ++i) {
      const InferenceNetwork& one = (*members)[i];
      made.push_back({make_one(one), one.traits.activation, changes[i].scale, changes[i].shift});
    }
    return make_ensemble(std::move(made));
  };
  ensemble.make = [together](Precision precision, const Device& device, ExactTiles exact_tiles) {
    return together([&](const InferenceNetwork& one) { return one.make(precision, device, exact_tiles); });
  };
  ensemble.make_reference = [together](const Device& device) {
    return together([&](const InferenceNetwork& one) { return one.make_reference(device); });
  };
  return ensemble;
}

}  // namespace tessera
