#include "workers/network/network_traits.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "workers/network/tile_network.h"

namespace tessera {

NetworkTraits::NetworkTraits(const NetworkDescription& network)
    : geometry(geometry_of(network)),
      in_channels(network.in_channels),
      classes(network.classes()),
      activation(classes == 1 ? Activation::sigmoid : Activation::softmax),
      weight_bytes(parameter_count(network) * 4),
      description(std::make_shared<const NetworkDescription>(network)) {}

std::int64_t NetworkTraits::tile_memory(std::int64_t height, std::int64_t width, Precision precision,
                                        bool cuda) const {
  if (description) return tessera::tile_memory(*description, height, width, precision, cuda);
  return static_cast<std::int64_t>(bytes_per_pixel * static_cast<double>(height) *
                                   static_cast<double>(width));
}

std::int64_t NetworkTraits::widest_layer() const {
  return description ? widest_image(*description) : std::max(in_channels, classes);
}

void require_class(const NetworkTraits& network, std::int64_t wanted) {
  if (wanted >= 0 && wanted < network.class_count()) return;
  throw UsageError(fmt::format("class {} was requested, but the network has {} classes: 0 to {}", wanted,
                               network.class_count(), network.class_count() - 1));
}

}  // namespace tessera
