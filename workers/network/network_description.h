#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/network_geometry.h"

namespace tessera {

/// The window that a layer moves over its input, along (z, y, x). In a 2-D network all values along z are 1,
/// and the padding is 0.
struct Window {
  Index3 kernel{1, 1, 1}, stride{1, 1, 1}, padding{0, 0, 0}, dilation{1, 1, 1};
};

/// One layer of a network.
struct LayerDescription {
  enum class Kind {
    convolution,     ///< weight (out, in, kernel), bias (out); zero padding
    up_convolution,  ///< transposed: weight (in, out, kernel), bias (out); output side = stride * input side,
                     ///< the extra end of a wider kernel is cropped
    max_pooling,
    crop_and_concatenation,  ///< the centre of the first input, cropped to the second, then the second
    batch_normalisation,     ///< weight, bias, running mean and variance, number of batches
    relu,
    dropout,
  };
  Kind kind = Kind::relu;
  std::string name = {};         ///< of its tensors in checkpoints, such as "convs.0"; empty without tensors
  std::vector<int> inputs = {};  ///< indices of the values that it reads
  std::int64_t in_channels = 0, out_channels = 0;
  Window window = {};
  double dropout = 0;  ///< probability that a value is set to 0 in training
};

/// The options of a network family from which a description was made, by name, as stored in checkpoints.
struct NetworkOptions {
  std::map<std::string, std::int64_t> counts;
  std::map<std::string, double> numbers;
};

/// A network as a list of layers, in the order of computation. Value 0 is the network's input. Layer i
/// computes value i + 1, and the last layer computes the logits. Each network family has one function that
/// makes the list from its options (unet.h). Geometry, parameters, memory, both passes and the export follow
/// from the list.
struct NetworkDescription {
  int dimensions = 2;            ///< of its images: 2 (y, x) or 3 (z, y, x)
  std::int64_t in_channels = 1;  ///< channels of the raw volume; in 2-D times the number of input sections
  std::vector<LayerDescription> layers = {};
  NetworkOptions options = {};

  /// Each function adds a layer that reads `value`, and returns the index of the layer's output value.
  int convolution(int value, const std::string& name, std::int64_t channels, const Window& window);
  int up_convolution(int value, const std::string& name, std::int64_t channels, const Window& window);
  int max_pooling(int value, const Window& window);
  int crop_and_concatenation(int skip, int value);
  int batch_normalisation(int value, const std::string& name);
  int relu(int value);
  /// Adds no layer and returns `value` if `probability` is 0.
  int dropout(int value, double probability);

  std::int64_t channels_of(int value) const;
  std::int64_t classes() const { return channels_of(static_cast<int>(layers.size())); }
  bool has_batch_statistics() const;
  /// The layers that read a value.
  std::vector<int> readers_of(int value) const;

  /// Adds a layer and sets its input channels. Output channels of 0 are set to the input channels.
  int add(LayerDescription layer);
};

/// Batch normalisation as in Keras: epsilon 1e-3, and running statistics keep 0.99 of their old value.
constexpr double kBatchNormEpsilon = 1e-3, kBatchNormMomentum = 0.01;

/// A tensor of a layer.
struct TensorDescription {
  enum class Role { weight, bias, scale, shift, running_mean, running_variance, batch_count };
  std::string name;                 ///< in checkpoints, such as "convs.0.weight"
  std::vector<std::int64_t> shape;  ///< a kernel has no z in 2-D
  Role role = Role::weight;
  int layer = 0;
  bool is_parameter() const { return role <= Role::shift; }
  std::int64_t count() const;
};
/// All tensors, by layer, in the order of the forward pass.
std::vector<TensorDescription> tensors_of(const NetworkDescription& network);
/// The number of trainable values, without batch statistics.
std::int64_t parameter_count(const NetworkDescription& network);

/// The sides of every value (z, y, x) for an input of these sides. Errors: Error if a layer does not fit:
/// pooling needs a side that is a multiple of its stride, a crop needs an even difference.
std::vector<Index3> value_shapes(const NetworkDescription& network, const Index3& input);

/// The distance between neighbours of every value, in input voxels. Errors: Error if an up-convolution's
/// stride does not divide the scale of its input, or if a concatenation joins values of different scales.
std::vector<Index3> value_scales(const NetworkDescription& network);

/// Floating-point operations of one forward pass: the multiplications and the additions of all convolutions.
double forward_flop(const NetworkDescription& network, const Index3& input);

/// Values per input voxel of the largest image, rounded up.
std::int64_t widest_image(const NetworkDescription& network);

/// The geometry along one axis (0, 1, 2: z, y, x). `context`: in 2-D, the number of input sections before and
/// after the predicted section. Errors: Error if the output neither has the input's side nor is smaller by an
/// equal margin at both ends.
AxisGeometry axis_geometry(const NetworkDescription& network, int axis, std::int64_t context = 0);
/// The geometry along all axes. Errors: as above; Error if y and x differ.
NetworkGeometry geometry_of(const NetworkDescription& network, std::int64_t context = 0);
/// The width of the output's border that depends on the zero padding, in voxels along an axis, not rounded.
std::int64_t padding_reach(const NetworkDescription& network, int axis);

/// Text on the options that differ, such as "base_filters is 64 here, 16 there". Empty if all are equal.
std::string difference_between(const NetworkDescription& here, const NetworkDescription& there);

}  // namespace tessera
