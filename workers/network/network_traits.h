#pragma once

#include <cstdint>
#include <memory>

#include "io/base/enum_names.h"
#include "io/geometry/network_geometry.h"
#include "workers/device/precision.h"
#include "workers/network/network_description.h"

namespace tessera {

/// What makes probabilities of a network's last layer.
enum class Activation {
  softmax,  ///< over the classes
  sigmoid,  ///< of each class by itself
  none,     ///< the network's outputs are probabilities
};
constexpr auto enum_names(Activation) {
  return std::to_array<EnumName<Activation>>(
      {{Activation::softmax, "softmax"}, {Activation::sigmoid, "sigmoid"}, {Activation::none, "none"}});
}

/// What planning and prediction must know of a network, wherever it comes from.
struct NetworkTraits {
  NetworkGeometry geometry;
  std::int64_t in_channels = 1;  ///< channels of the raw volume times the sections seen at once
  std::int64_t classes = 2;      ///< of the last layer
  Activation activation = Activation::softmax;
  std::int64_t weight_bytes = 0;                                    ///< float32
  std::shared_ptr<const NetworkDescription> description = nullptr;  ///< null for a network from elsewhere
  double bytes_per_pixel = 0;  ///< of a network from elsewhere, at its peak; measured by the probe

  NetworkTraits() = default;
  explicit NetworkTraits(const NetworkDescription& network);

  /// Classes that can be requested: a single sigmoid output has two classes, 1 and its complement 0.
  std::int64_t class_count() const { return classes == 1 ? 2 : classes; }
  /// Bytes at the peak of one forward pass over an input of `height` x `width`, weights not counted.
  std::int64_t tile_memory(std::int64_t height, std::int64_t width, Precision precision, bool cuda) const;
  /// Values of one pixel in the largest tensor, for LibTorch's limit of 2^31 elements.
  std::int64_t widest_layer() const;
};

/// Throws UsageError when the network has no class `wanted`.
void require_class(const NetworkTraits& network, std::int64_t wanted);

}  // namespace tessera
