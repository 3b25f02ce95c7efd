#pragma once

#include <memory>
#include <vector>

#include "workers/network/network_traits.h"
#include "workers/network/tile_network.h"

namespace tessera {

/// A network of an ensemble. Its input is `scale` x + `shift` of the ensemble's input x.
struct EnsembleMember {
  std::unique_ptr<TileNetwork> network;
  Activation activation = Activation::softmax;
  double scale = 1, shift = 0;
};

/// A network whose outputs are the means of the members' probabilities, summed in the order of `members`:
/// float32 (1, classes, h', w'), so its activation is Activation::none. The members are on one device and
/// have the same geometry, channels and classes. There is at least one. Errors of logits(): as the members'.
std::unique_ptr<TileNetwork> make_ensemble(std::vector<EnsembleMember> members);

}  // namespace tessera
