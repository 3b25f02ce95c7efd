#pragma once

#include <string>
#include <vector>

#include "io/hdf5/checkpoint_file.h"
#include "workers/network/network_description.h"

namespace tessera {

class Network;

/// Which weights of a checkpoint a new network begins with: layers by their names in checkpoints, such as
/// convs.0.
struct InitialWeights {
  struct Left {
    std::string layer, reason;  ///< such as "its weight has the shape (3, 16, 1, 1), here (2, 16, 1, 1)"
  };
  std::vector<std::string> taken;     ///< all tensors agree by name and shape
  std::vector<std::string> adapted;   ///< read the input, of another number of channels
  std::vector<Left> initialised;      ///< of another shape, or not in the checkpoint: as in a new network
  std::vector<std::string> left_out;  ///< layers of the checkpoint that the network lacks

  /// "22 layers taken, 1 adapted to other input channels (convs.0), ...".
  std::string text() const;
};

/// Compares the tensors of a network with those of a checkpoint. `name` names the checkpoint in messages.
/// Errors: UsageError when no layer can be taken.
InitialWeights find_initial_weights(const NetworkDescription& network, const Checkpoint& checkpoint,
                                    const std::string& name);

/// Copies these weights, and the batch statistics of their layers, into the network: the averaged weights
/// where the checkpoint has them. A kernel for other input channels: n channels in place of m have the m
/// kernels in turn, each divided by how often it occurs; fewer channels share the sum. So the response to
/// equal channels stays as it was. Errors: Error when the checkpoint is not the one that was compared.
void take_weights(const InitialWeights& weights, const Checkpoint& checkpoint, const std::string& name,
                  Network& network);

}  // namespace tessera
