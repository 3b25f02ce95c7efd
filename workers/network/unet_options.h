#pragma once

#include <cstdint>
#include <string>

#include "io/geometry/network_geometry.h"

namespace tessera {

/// Where dropout sits.
enum class DropoutPlace {
  end_of_contraction,  ///< after the blocks of the two deepest levels (Ronneberger et al. 2015)
  every_level,         ///< after every pooling and every concatenation (Keras style)
};

/// A U-Net. The defaults are the network of Ronneberger, Fischer and Brox 2015.
struct UNetOptions {
  std::int64_t in_channels = 1;    ///< channels of the raw volume times the sections seen at once
  std::int64_t classes = 2;        ///< 1: sigmoid; 2 or more: soft-max
  std::int64_t base_filters = 64;  ///< of the first level; doubled at each pooling
  int depth = 4;                   ///< number of poolings
  Padding padding = Padding::valid;
  bool batch_norm = false;
  int block_convs = 2;  ///< 3x3 convolutions per level and path
  int up_kernel = 2;    ///< side of the up-convolution's kernel; its stride is 2
  double dropout = 0.5;
  DropoutPlace dropout_place = DropoutPlace::end_of_contraction;
};

/// The paper's network: 31,030,658 parameters for 1 input channel and 2 classes.
UNetOptions unet2015_options();
/// 'same' padding, batch normalisation, 16 filters, sigmoid: 2,164,305 parameters with batch statistics.
UNetOptions keras_same_options();

/// What tiling must know of the network.
NetworkGeometry geometry_of(const UNetOptions& options);

/// Bytes that one forward pass over an input of `height` x `width` needs beside the weights, from a model
/// calibrated against the measured peak (docs/performance.md). `value_bytes`: 4 for float32, 2 for bfloat16.
std::int64_t inference_memory(const UNetOptions& options, std::int64_t height, std::int64_t width,
                              std::int64_t value_bytes);
/// The same for forward and backward together, one sample, on LibTorch's operators.
std::int64_t training_memory(const UNetOptions& options, std::int64_t height, std::int64_t width);

/// Trainable parameters, batch statistics not counted.
std::int64_t parameter_count(const UNetOptions& options);

}  // namespace tessera
