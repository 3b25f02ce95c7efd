// Networks other than 2-D U-Nets, as lists of layers.
#pragma once

#include "workers/network/network_description.h"

namespace tessera::testing {

/// A 3-D U-Net for anisotropic volumes. It pools z only on the second level, and the convolutions of the
/// first level read one section.
inline NetworkDescription volume_unet() {
  const Window plane{.kernel = {1, 3, 3}}, volume{.kernel = {3, 3, 3}};
  const Window plane_step{.kernel = {1, 2, 2}, .stride = {1, 2, 2}},
      volume_step{.kernel = {2, 2, 2}, .stride = {2, 2, 2}};
  NetworkDescription network{.dimensions = 3, .in_channels = 2};
  const int first = network.relu(network.convolution(0, "convs.0", 4, plane));
  int x = network.max_pooling(first, plane_step);
  const int second = network.relu(network.convolution(x, "convs.1", 8, volume));
  x = network.max_pooling(second, volume_step);
  x = network.relu(network.convolution(x, "convs.2", 16, volume));
  x = network.up_convolution(x, "ups.0", 8, volume_step);
  x = network.crop_and_concatenation(second, x);
  x = network.relu(network.convolution(x, "convs.3", 8, volume));
  x = network.up_convolution(x, "ups.1", 4, plane_step);
  x = network.crop_and_concatenation(first, x);
  x = network.relu(network.convolution(x, "convs.4", 4, plane));
  network.convolution(x, "to_classes", 3, {});
  return network;
}

/// A network for patches of 19 x 19 pixels with two poolings, converted to compute all pixels at once. Layers
/// after a pooling are dilated, and the poolings have stride 1.
inline NetworkDescription sliding_window() {
  const auto dilated = [](std::int64_t side, std::int64_t by) {
    return Window{.kernel = {1, side, side}, .dilation = {1, by, by}};
  };
  NetworkDescription network{.in_channels = 1};
  int x = network.relu(network.convolution(0, "convs.0", 4, dilated(4, 1)));
  x = network.max_pooling(x, dilated(2, 1));
  x = network.relu(network.convolution(x, "convs.1", 6, dilated(3, 2)));
  x = network.max_pooling(x, dilated(2, 2));
  x = network.relu(network.convolution(x, "convs.2", 8, dilated(3, 4)));
  network.convolution(x, "to_classes", 2, {});
  return network;
}

}  // namespace tessera::testing
