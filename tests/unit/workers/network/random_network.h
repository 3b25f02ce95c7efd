#pragma once

#include <ATen/Functions.h>

#include <array>
#include <memory>

#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"

namespace tessera::testing {

struct NetworkCase {
  const char* what;
  bool same = false;
  std::int64_t filters = 4, in_channels = 1, classes = 2;
  int depth = 4, block_convs = 2, up_kernel = 2;
  bool batch_norm = false;
};

inline UNetOptions options_of(const NetworkCase& c) {
  UNetOptions options;
  options.padding = c.same ? Padding::same : Padding::valid;
  options.base_filters = c.filters;
  options.in_channels = c.in_channels;
  options.classes = c.classes;
  options.depth = c.depth;
  options.block_convs = c.block_convs;
  options.up_kernel = c.up_kernel;
  options.batch_norm = c.batch_norm;
  return options;
}

/// A network with random weights and non-trivial batch statistics.
inline std::shared_ptr<Network> random_network(const UNetOptions& options) {
  auto network = make_network(options, 3);
  const at::NoGradGuard no_grad;
  at::manual_seed(8);
  for (auto& item : network->named_parameters()) {
    if (item.value().dim() == 1) item.value().copy_(at::rand_like(item.value()) * 0.5 + 0.5);
  }
  for (auto& item : network->named_buffers()) {
    if (item.key().find("num_batches") == std::string::npos)
      item.value().copy_(at::rand_like(item.value()) + 0.5);
  }
  return network;
}

/// Networks that cover every option.
inline const std::array kNetworkCases = {NetworkCase{"paper", false, 16},
                                         NetworkCase{"odd_filters", false, 5},
                                         NetworkCase{"context_and_classes", false, 8, 3, 4},
                                         NetworkCase{"one_class", false, 8, 1, 1},
                                         NetworkCase{"flat", false, 8, 1, 2, 1, 1},
                                         NetworkCase{"three_convolutions", false, 8, 1, 2, 2, 3},
                                         NetworkCase{"batch_norm", false, 8, 1, 2, 3, 2, 2, true},
                                         NetworkCase{"keras", true, 16, 1, 1, 4, 2, 3, true},
                                         NetworkCase{"same_padding", true, 8, 2, 3, 3},
                                         NetworkCase{"keras_single", true, 4, 1, 1, 4, 1, 3, true}};

}  // namespace tessera::testing
