#include "workers/network/network_traits.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "workers/network/tile_network.h"

namespace tessera {

NetworkTraits::NetworkTraits(const UNetOptions& options)
    : geometry(geometry_of(options)),
      in_channels(options.in_channels),
      classes(options.classes),
      activation(options.classes == 1 ? Activation::sigmoid : Activation::softmax),
      weight_bytes(parameter_count(options) * 4),
      unet(options) {}

std::int64_t NetworkTraits::tile_memory(std::int64_t height, std::int64_t width, Precision precision,
                                        bool cuda) const {
  if (unet) return tessera::tile_memory(*unet, height, width, precision, cuda);
  return static_cast<std::int64_t>(bytes_per_pixel * static_cast<double>(height) *
                                   static_cast<double>(width));
}

std::int64_t NetworkTraits::widest_layer() const {
  return unet ? 2 * unet->base_filters : std::max(in_channels, classes);
}

void require_class(const NetworkTraits& network, std::int64_t wanted) {
  if (wanted >= 0 && wanted < network.class_count()) return;
  throw UsageError(fmt::format("class {} was asked for, but the network tells {} classes apart: 0 to {}",
                               wanted, network.class_count(), network.class_count() - 1));
}

}  // namespace tessera
