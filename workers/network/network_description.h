#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/network_geometry.h"

namespace tessera {

/// The window that a layer moves over its input, along (z, y, x). A 2-D network has 1 along z (padding: 0).
struct Window {
  Index3 kernel{1, 1, 1}, stride{1, 1, 1}, padding{0, 0, 0}, dilation{1, 1, 1};
};

/// One layer of a network.
struct LayerDescription {
  enum class Kind {
    convolution,     ///< weight (out, in, kernel), bias (out); zero padding
    up_convolution,  ///< transposed: weight (in, out, kernel), bias (out); the output's side is stride times
                     ///< the input's: what a wider kernel adds at the end is cut
    max_pooling,
    crop_and_concatenation,  ///< the middle of the first input, as large as the second, then the second
    batch_normalisation,     ///< weight, bias, running mean and variance, number of batches
    relu,
    dropout,
  };
  Kind kind = Kind::relu;
  std::string name = {};         ///< of its tensors in checkpoints, such as "convs.0"; empty: it has none
  std::vector<int> inputs = {};  ///< values that it reads
  std::int64_t in_channels = 0, out_channels = 0;
  Window window = {};
  double dropout = 0;  ///< probability of a value to become 0 in training
};

/// The options that a description was made of, by name, as checkpoints hold them.
struct NetworkOptions {
  std::map<std::string, std::int64_t> counts;
  std::map<std::string, double> numbers;
};

/// A network as a list of layers, in the order in which they are computed. Value 0 is the network's input,
/// layer i makes value i + 1, the last layer makes the logits. Each network family has one function that
/// makes the list from its options (unet.h); geometry, parameters, memory, both passes and the export follow
/// from it.
struct NetworkDescription {
  int dimensions = 2;            ///< of its images: 2 (y, x) or 3 (z, y, x)
  std::int64_t in_channels = 1;  ///< channels of the raw volume, in 2-D times the sections seen at once
  std::vector<LayerDescription> layers = {};
  NetworkOptions options = {};

  /// Each adds a layer that reads `value`, and returns the value that it makes.
  int convolution(int value, const std::string& name, std::int64_t channels, const Window& window);
  int up_convolution(int value, const std::string& name, std::int64_t channels, const Window& window);
  int max_pooling(int value, const Window& window);
  int crop_and_concatenation(int skip, int value);
  int batch_normalisation(int value, const std::string& name);
  int relu(int value);
  /// Adds nothing where `probability` is 0.
  int dropout(int value, double probability);

  std::int64_t channels_of(int value) const;
  std::int64_t classes() const { return channels_of(static_cast<int>(layers.size())); }
  bool has_batch_statistics() const;
  /// The layers that read a value.
  std::vector<int> readers_of(int value) const;

  /// The input's channels are counted, and for layers that keep them the output's.
  int add(LayerDescription layer);
};

/// Batch normalisation as in Keras: the running statistics keep 0.99 of their old value.
constexpr double kBatchNormEpsilon = 1e-3, kBatchNormMomentum = 0.01;

/// A tensor of a layer.
struct TensorDescription {
  enum class Role { weight, bias, scale, shift, running_mean, running_variance, batch_count };
  std::string name;                 ///< in checkpoints, such as "convs.0.weight"
  std::vector<std::int64_t> shape;  ///< a convolution's: without z in 2-D
  Role role = Role::weight;
  int layer = 0;
  bool is_parameter() const { return role <= Role::shift; }
  std::int64_t count() const;
};
/// All tensors, layer by layer in the order of the forward pass.
std::vector<TensorDescription> tensors_of(const NetworkDescription& network);
/// Trainable values; batch statistics are not counted.
std::int64_t parameter_count(const NetworkDescription& network);

/// The sides of every value for an input of these sides. Errors: Error where a layer does not fit: pooling
/// needs a side that its stride divides, a crop an even difference.
std::vector<Index3> value_shapes(const NetworkDescription& network, const Index3& input);

/// Of every value, how many input voxels lie between two of its neighbours. Errors: Error where an
/// up-convolution's stride does not divide that of its input, or a concatenation joins unequal ones.
std::vector<Index3> value_scales(const NetworkDescription& network);

/// Operations of one forward pass: each multiplication and each addition of a convolution counts.
double forward_flop(const NetworkDescription& network, const Index3& input);

/// Values per input voxel of the largest image.
std::int64_t widest_image(const NetworkDescription& network);

/// The geometry along one axis (0, 1, 2: z, y, x). `context`, in 2-D: sections seen before and after the
/// predicted one. Errors: Error where the output is neither smaller by an equal margin on both sides nor of
/// the input's side.
AxisGeometry axis_geometry(const NetworkDescription& network, int axis, std::int64_t context = 0);
/// Along all axes. Errors: as above, and where y and x are not alike.
NetworkGeometry geometry_of(const NetworkDescription& network, std::int64_t context = 0);
/// How many voxels of the output's border the zero padding reaches along an axis, unrounded.
std::int64_t padding_reach(const NetworkDescription& network, int axis);

/// "" when both were made of equal options, else what differs: "base_filters is 64 here, 16 there".
std::string difference_between(const NetworkDescription& here, const NetworkDescription& there);

}  // namespace tessera
