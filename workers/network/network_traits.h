#pragma once

#include <cstdint>
#include <memory>

#include "io/base/enum_names.h"
#include "io/geometry/network_geometry.h"
#include "workers/device/precision.h"
#include "workers/network/network_description.h"

namespace tessera {

/// The function that turns the output of a network's last layer into probabilities.
enum class Activation {
  softmax,  ///< over the classes
  sigmoid,  ///< of each class separately
  none,     ///< the outputs are probabilities already
};
constexpr auto enum_names(Activation) {
  return std::to_array<EnumName<Activation>>(
      {{Activation::softmax, "softmax"}, {Activation::sigmoid, "sigmoid"}, {Activation::none, "none"}});
}

/// The properties of a network that planning and prediction need.
struct NetworkTraits {
  NetworkGeometry geometry;
  std::int64_t in_channels = 1;  ///< channels of the raw volume times the number of input sections
  std::int64_t classes = 2;      ///< output channels of the last layer
  Activation activation = Activation::softmax;
  std::int64_t weight_bytes = 0;  ///< of float32 weights
  std::shared_ptr<const NetworkDescription> description =
      nullptr;                 ///< null for an external TorchScript network
  double bytes_per_pixel = 0;  ///< peak memory of an external network, measured by probe_torchscript

  NetworkTraits() = default;
  explicit NetworkTraits(const NetworkDescription& network);

  /// The number of classes that can be requested. A single sigmoid output has two: 1 and its complement 0.
  std::int64_t class_count() const { return classes == 1 ? 2 : classes; }
  /// Peak memory in bytes of one forward pass over an input of `height` x `width` pixels, without the
  /// weights.
  std::int64_t tile_memory(std::int64_t height, std::int64_t width, Precision precision, bool cuda) const;
  /// Values per pixel of the largest tensor. Needed because LibTorch limits tensors to 2^31 elements.
  std::int64_t widest_layer() const;
};

/// Errors: UsageError if the network has no class `wanted`.
void require_class(const NetworkTraits& network, std::int64_t wanted);

}  // namespace tessera
