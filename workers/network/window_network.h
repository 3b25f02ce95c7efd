#pragma once

#include <cstdint>
#include <string>

#include "workers/network/network_description.h"

namespace tessera {

/// The sliding-window network N4 of Ciresan, Giusti, Gambardella and Schmidhuber (NIPS 2012). A window of 95
/// x 95 pixels passes four stages, each a convolution (4 x 4, 5 x 5, 4 x 4 and 4 x 4, with ReLU) and 2 x 2
/// max pooling, then a fully connected layer with ReLU, and the layer that gives the classes of the window's
/// centre.
struct WindowNetworkOptions {
  static constexpr std::int64_t kWindow = 95;  ///< side in pixels

  std::int64_t in_channels = 1;  ///< channels of the raw volume times the number of input sections
  std::int64_t classes = 2;      ///< 1: sigmoid; 2 or more: soft-max
  std::int64_t maps = 48;        ///< of each convolution
  std::int64_t units = 200;      ///< of the fully connected layer
};

/// The network of one window: an input of 95 x 95 pixels gives logits of 1 x 1. Poolings have stride 2.
NetworkDescription describe_window(const WindowNetworkOptions& options);

/// The same network at every pixel of an image at once: each logit equals that of describe_window() for the
/// window around the pixel. Poolings have stride 1, and what follows the n-th pooling is dilated by 2^n, so
/// every layer reads the very values that it reads in the window (Giusti et al. 2013 call them fragments).
/// The fully connected layer becomes a 3 x 3 convolution. The tensors have the same names and shapes as those
/// of describe_window(). Valid padding, margin 47, alignment 1.
NetworkDescription describe_window_network(const WindowNetworkOptions& options);

/// Whether stored options are of this family.
bool is_stored_window_network(const NetworkOptions& stored);
/// As describe_window_network() for the stored options from the file `name`. Errors: Error if an option is
/// missing or out of range.
NetworkDescription describe_stored_window_network(const NetworkOptions& stored, const std::string& name);

}  // namespace tessera
