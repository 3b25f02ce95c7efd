#pragma once

#include <cstdint>
#include <string>

#include "workers/network/network_description.h"

namespace tessera {

/// The position of dropout in the network.
enum class DropoutPlace {
  end_of_contraction,  ///< after the blocks of the two deepest levels (Ronneberger et al. 2015)
  every_level,         ///< after every pooling and every concatenation (Keras style)
};

/// A 2-D U-Net. The defaults are the network of Ronneberger, Fischer and Brox 2015.
struct UNetOptions {
  std::int64_t in_channels = 1;    ///< channels of the raw volume times the number of input sections
  std::int64_t classes = 2;        ///< 1: sigmoid; 2 or more: soft-max
  std::int64_t base_filters = 64;  ///< filters of the first level, doubled at each pooling
  int depth = 4;                   ///< number of poolings
  Padding padding = Padding::valid;
  bool batch_norm = false;
  int block_convs = 2;  ///< 3x3 convolutions per level and path
  int up_kernel = 2;    ///< side of the up-convolution's kernel; its stride is 2
  double dropout = 0.5;
  DropoutPlace dropout_place = DropoutPlace::end_of_contraction;

  /// Converts by describe_unet().
  operator NetworkDescription() const;  // NOLINT(google-explicit-constructor): the options say it all
};

/// The paper's network: 31,030,658 parameters for 1 input channel and 2 classes.
UNetOptions unet2015_options();
/// 'same' padding, batch normalisation, 16 filters, sigmoid: 2,164,305 parameters with batch statistics.
UNetOptions keras_same_options();

/// The layers of a U-Net. The contracting path has blocks of 3x3 convolutions with ReLU, with 2x2 max pooling
/// between them. The expanding path has the same blocks, each after an up-convolution and a concatenation
/// with the cropped image of the contracting path. The last layer is a 1x1 convolution to the classes.
NetworkDescription describe_unet(const UNetOptions& options);

/// The U-Net of stored options (`NetworkDescription::options`) from the file `name`. Errors: Error if an
/// option is missing or out of range.
NetworkDescription describe_stored_unet(const NetworkOptions& stored, const std::string& name);

}  // namespace tessera
