// Geometry, parameters, operations and engines of a network, all derived from its list of layers.
#include "workers/network/network_description.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <utility>

#include "io/base/error.h"
#include "small_descriptions.h"
#include "tests/unit/io/geometry/unet_geometry.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/network/forward_plan.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/network_traits.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using testing::sliding_window;
using testing::volume_unet;

bool fits(const NetworkDescription& network, const Index3& input) {
  try {
    value_shapes(network, input);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<UNetOptions> unets(int depths) {
  std::vector<UNetOptions> all;
  for (int depth = 1; depth <= depths; ++depth) {
    for (int convs = 1; convs <= 3; ++convs) {
      UNetOptions options;
      options.depth = depth;
      options.block_convs = convs;
      all.push_back(options);
      options.padding = Padding::same;
      all.push_back(options);
      options.up_kernel = 3;
      all.push_back(options);
    }
  }
  return all;
}

TEST(DescriptionGeometry, EqualsTheClosedForms) {
  for (const UNetOptions& o : unets(5)) {
    const NetworkGeometry expected = o.padding == Padding::valid
                                         ? valid_geometry(o.depth, o.block_convs)
                                         : same_geometry(o.depth, o.block_convs, o.up_kernel);
    for (const std::int64_t context : {0, 2}) {
      const NetworkGeometry found = geometry_of(o, context);
      EXPECT_EQ(found[1], expected[1]) << o.depth << " " << o.block_convs << " " << o.up_kernel;
      EXPECT_EQ(found[2], expected[2]) << o.depth << " " << o.block_convs << " " << o.up_kernel;
      EXPECT_EQ(found[1].alignment, 1 << o.depth);
      EXPECT_EQ(found.z.alignment, 1) << "sections are predicted one by one";
      EXPECT_EQ(found.z.margin, context);
      EXPECT_EQ(found.z.input_side_for(1), 2 * context + 1);
    }
  }
}

TEST(DescriptionGeometry, HasTheNumbersOfThePresets) {
  const NetworkGeometry paper = geometry_of(unet2015_options());
  EXPECT_EQ(paper.margin, 92);
  EXPECT_EQ(paper.side_remainder, 12);
  EXPECT_EQ(paper.smallest_input, 188);
  EXPECT_EQ(paper.output_side(572), 388);
  UNetOptions same;
  same.padding = Padding::same;
  EXPECT_EQ(padding_reach(same, 2), 94);
  EXPECT_EQ(geometry_of(same).margin, 96);
  EXPECT_EQ(geometry_of(keras_same_options()).margin, 112);
}

TEST(DescriptionGeometry, LegalSidesAreThoseThatEveryLayerFits) {
  int legal = 0;
  for (const UNetOptions& o : unets(4)) {
    const NetworkDescription network = o;
    const NetworkGeometry geometry = geometry_of(network);
    for (std::int64_t side = 1; side <= 300; ++side) {
      const bool is_legal = geometry.is_legal_input(side);
      ASSERT_EQ(is_legal, fits(network, {1, side, side})) << o.depth << " " << o.block_convs << " " << side;
      if (!is_legal) continue;
      ASSERT_EQ(value_shapes(network, {1, side, side}).back().x, geometry.output_side(side));
      ++legal;
    }
  }
  EXPECT_GT(legal, 500);
}

/// Measures the reach of the output along an axis, in voxels. The input is NaN on one side of a cut on the
/// pooling grid, so outputs that depend on that side are NaN. Images are float64, because its kernels read no
/// values outside the window.
std::int64_t measured_reach(const NetworkDescription& description, int axis) {
  const auto network = make_network(description, 3);
  network->to(at::kDouble);
  network->eval();
  const at::NoGradGuard no_grad;
  const NetworkGeometry geometry = geometry_of(description);
  const std::int64_t dimension = axis + description.dimensions - 1, cut = 2 * geometry[axis].alignment;
  std::vector<std::int64_t> sides{1, description.in_channels};
  for (int a = 3 - description.dimensions; a < 3; ++a) {
    const std::int64_t core = a == axis ? 8 * geometry[a].alignment + 2 * geometry[a].margin : 1;
    sides.push_back(geometry[a].input_side_for(core));
  }
  const std::int64_t side = sides[static_cast<std::size_t>(dimension)];
  const std::int64_t lost = geometry[axis].padding == Padding::valid ? geometry[axis].margin : 0;
  std::int64_t reach = 0;
  for (const bool at_begin : {true, false}) {
    at::Tensor x = at::rand(sides, at::kDouble);
    x.narrow(dimension, at_begin ? 0 : side - cut, cut).fill_(std::nan(""));
    const at::Tensor y = network->forward(x);
    std::int64_t first = 0;
    const std::int64_t length = y.size(dimension);
    while (first < length) {
      const at::Tensor slice = y.select(dimension, at_begin ? length - 1 - first : first);
      if (slice.isnan().any().item<bool>()) break;
      ++first;
    }
    reach = std::max(reach, length - first - cut + lost);
  }
  return reach;
}

TEST(DescriptionGeometry, EqualsTheMeasuredReach) {
  // A single up-convolution, whose wider kernel reads the previous pixel.
  NetworkDescription up{.in_channels = 1};
  const Index3 two{1, 2, 2};
  const int pooled = up.max_pooling(0, {.kernel = two, .stride = two});
  up.up_convolution(pooled, "ups.0", 2, {.kernel = {1, 3, 3}, .stride = two});
  std::vector<NetworkDescription> networks{up, volume_unet(), sliding_window()};
  for (UNetOptions o : unets(2)) {
    o.base_filters = 2;
    o.batch_norm = o.padding == Padding::same;
    networks.push_back(describe_unet(o));
  }
  for (const NetworkDescription& network : networks) {
    for (int axis = 3 - network.dimensions; axis < 3; ++axis) {
      const AxisGeometry geometry = geometry_of(network)[axis];
      const std::int64_t expected =
          geometry.padding == Padding::valid ? geometry.margin : padding_reach(network, axis);
      EXPECT_EQ(measured_reach(network, axis), expected) << network.layers.size() << " layers, axis " << axis;
    }
  }
}

std::int64_t statistics_count(const NetworkDescription& network) {
  std::int64_t count = 0;
  for (const TensorDescription& tensor : tensors_of(network)) {
    const bool running = tensor.role == TensorDescription::Role::running_mean ||
                         tensor.role == TensorDescription::Role::running_variance;
    if (running) count += tensor.count();
  }
  return count;
}

TEST(DescriptionParameters, AreCounted) {
  EXPECT_EQ(parameter_count(unet2015_options()), 31'030'658);
  EXPECT_EQ(statistics_count(unet2015_options()), 0);
  UNetOptions keras = keras_same_options();
  EXPECT_EQ(parameter_count(keras) + statistics_count(keras), 2'164'305);
  EXPECT_EQ(statistics_count(keras), 2'944);
  keras.block_convs = 1;
  EXPECT_EQ(parameter_count(keras) + statistics_count(keras), 1'179'121);
  EXPECT_EQ(statistics_count(keras), 1'472);
}

TEST(DescriptionParameters, AreThoseOfTheNetwork) {
  for (const NetworkDescription& description :
       {describe_unet(keras_same_options()), volume_unet(), sliding_window()}) {
    const Network network(description);
    std::int64_t found = 0;
    const auto parameters = network.named_parameters(), buffers = network.named_buffers();
    for (const TensorDescription& tensor : tensors_of(description)) {
      const auto* held = (tensor.is_parameter() ? parameters : buffers).find(tensor.name);
      ASSERT_NE(held, nullptr) << tensor.name;
      EXPECT_EQ(held->sizes().vec(), tensor.shape) << tensor.name;
      ++found;
    }
    EXPECT_EQ(found, static_cast<std::int64_t>(parameters.size() + buffers.size()));
  }
}

TEST(DescriptionOperations, OfASmallNetworkAreCountedByHand) {
  UNetOptions o;
  o.depth = 1;
  o.block_convs = 1;
  o.base_filters = 2;
  o.padding = Padding::same;
  // 3x3 convolutions: 1 to 2 channels and, after the concatenation, 4 to 2 channels on 64 pixels; 2 to 4
  // channels on 16 pixels. Up-convolution: 4 to 2 channels, four taps for each of 16 pixels. 1x1 convolution:
  // 2 to 2 channels on 64 pixels.
  const double products = 9 * 2 * 64 + 9 * 8 * 16 + 4 * 8 * 16 + 9 * 8 * 64 + 4 * 64;
  EXPECT_EQ(forward_flop(o, {1, 8, 8}), 2 * products);
  EXPECT_EQ(widest_image(o), 4);
  EXPECT_EQ(widest_image(unet2015_options()), 128);
}

TEST(VolumeNetwork, HasAnotherGeometryAlongZ) {
  const NetworkGeometry geometry = geometry_of(volume_unet());
  // There are two levels along y and x, and one along z. One 3x3x3 convolution is below the pooling of z.
  EXPECT_EQ(geometry[1].alignment, 4);
  EXPECT_EQ(geometry[2].alignment, 4);
  EXPECT_EQ(geometry.z.alignment, 2);
  // y: 1 + 1 on level 0 of each path, 2 on level 1 of each, 4 on level 2. z: none on level 0, 1 on level 1 of
  // each path, 2 on level 2.
  EXPECT_EQ(geometry.margin, 2 * 1 + 2 * 2 + 4);
  EXPECT_EQ(geometry.z.margin, 2 * 1 + 2);
  EXPECT_EQ(geometry.z.padding, Padding::valid);
}

TEST(VolumeNetwork, RunsOnLibTorchsOperators) {
  const auto network = make_network(volume_unet(), 5);
  network->eval();
  const at::NoGradGuard no_grad;
  at::manual_seed(4);
  auto p = network->named_parameters();
  for (auto& item : p) {
    if (item.value().dim() == 1) item.value().copy_(at::randn_like(item.value()) * 0.1);
  }
  const NetworkGeometry geometry = geometry_of(volume_unet());
  const at::Tensor images = at::randn(
      {1, 2, geometry.z.input_side_for(4), geometry.input_side_for(8), geometry.input_side_for(12)});
  const auto conv = [&](const std::string& name, const at::Tensor& x) {
    return at::conv3d(x, p[name + ".weight"], p[name + ".bias"]);
  };
  const auto up = [&](const std::string& name, const at::Tensor& x, at::IntArrayRef stride) {
    return at::conv_transpose3d(x, p[name + ".weight"], p[name + ".bias"], stride);
  };
  const auto join = [](at::Tensor skip, const at::Tensor& x) {
    for (std::int64_t d = 2; d < 5; ++d)
      skip = skip.narrow(d, (skip.size(d) - x.size(d)) / 2, x.size(d));
    return at::cat({skip, x}, 1);
  };
  const at::Tensor first = at::relu(conv("convs.0", images));
  const at::Tensor second = at::relu(conv("convs.1", at::max_pool3d(first, {1, 2, 2})));
  const at::Tensor third = at::relu(conv("convs.2", at::max_pool3d(second, {2, 2, 2})));
  const at::Tensor fourth = at::relu(conv("convs.3", join(second, up("ups.0", third, {2, 2, 2}))));
  const at::Tensor fifth = at::relu(conv("convs.4", join(first, up("ups.1", fourth, {1, 2, 2}))));
  const at::Tensor expected = conv("to_classes", fifth);
  const auto predicting = make_tile_network(*network, Precision::float32, {});
  for (const at::Tensor& found : {network->forward(images), predicting->logits(images)}) {
    ASSERT_EQ(found.sizes(), expected.sizes());
    EXPECT_EQ(found.size(2), geometry.z.output_side(images.size(2)));
    EXPECT_EQ(found.size(4), geometry[2].output_side(images.size(4)));
    EXPECT_LE((found - expected).abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
  }
}

TEST(SlidingWindow, EqualsThePatchNetworkAtEveryPixel) {
  const NetworkGeometry geometry = geometry_of(sliding_window());
  EXPECT_EQ(geometry.alignment, 1);
  EXPECT_EQ(geometry.margin, 9) << "patches of 19 x 19";
  EXPECT_EQ(geometry.smallest_input, 19);
  const auto network = make_network(sliding_window(), 5);
  network->eval();
  const at::NoGradGuard no_grad;
  at::manual_seed(4);
  auto p = network->named_parameters();
  const auto conv = [&](const std::string& name, const at::Tensor& x) {
    return at::conv2d(x, p[name + ".weight"], p[name + ".bias"]);
  };
  const at::Tensor image = at::randn({1, 1, 24, 27});
  const at::Tensor dense = network->forward(image);
  ASSERT_EQ(dense.size(2), 6);
  ASSERT_EQ(dense.size(3), 9);
  int compared = 0;
  for (std::int64_t y = 0; y < dense.size(2); ++y) {
    for (std::int64_t x = 0; x < dense.size(3); ++x, ++compared) {
      const at::Tensor patch = image.narrow(2, y, 19).narrow(3, x, 19);
      const at::Tensor first = at::max_pool2d(at::relu(conv("convs.0", patch)), 2);
      const at::Tensor second = at::max_pool2d(at::relu(conv("convs.1", first)), 2);
      const at::Tensor expected = conv("to_classes", at::relu(conv("convs.2", second)));
      ASSERT_EQ(expected.size(2), 1);
      const at::Tensor found = dense.narrow(2, y, 1).narrow(3, x, 1);
      EXPECT_LE((found - expected).abs().max().item<double>(), 1e-5 * dense.abs().max().item<double>());
    }
  }
  EXPECT_EQ(compared, 54);
}

TEST(Engines, FallBackToLibTorchForUnsupportedNetworks) {
  UNetOptions narrow;
  narrow.base_filters = 2;
  EXPECT_TRUE(can_plan_forward(narrow) && can_plan_forward(keras_same_options()));
  EXPECT_EQ(make_tile_network(*make_network(narrow, 1), Precision::float32, {})->text().find("LibTorch"),
            has_onednn_engine() ? std::string::npos : 0);
  for (const NetworkDescription& network : {volume_unet(), sliding_window()}) {
    EXPECT_FALSE(can_plan_forward(network) || can_plan_gradient(network));
    EXPECT_FALSE(has_onednn_gradients(network));
    const auto made = make_network(network, 1);
    EXPECT_EQ(make_tile_network(*made, Precision::float32, {})->text().find("LibTorch"), 0U);
    EXPECT_GT(tile_memory(network, 64, 64, Precision::float32, false), 64 * 64 * 4);
    EXPECT_GT(training_memory(network, 64, 64, Precision::float32, true), 64 * 64 * 4);
    FlatParameters parameters(made, at::kCPU);
    EXPECT_EQ(parameters.entries().front().name, "to_classes.weight");
    EXPECT_EQ(parameters.entries().back().name, "convs.0.bias");
    const auto engine = make_gradient_engine(parameters, Precision::float32);
    EXPECT_EQ(engine->text().find("LibTorch's operators"), 0U);
    const NetworkGeometry geometry = geometry_of(network);
    std::vector<std::int64_t> sides{1, network.in_channels};
    for (int axis = 3 - network.dimensions; axis < 3; ++axis)
      sides.push_back(geometry[axis].input_side_for(8));
    const at::Tensor logits = engine->forward(at::randn(sides), 1);
    std::int64_t ready = 0;
    engine->backward(at::ones_like(logits), [&](std::int64_t values) { ready = values; });
    EXPECT_EQ(ready, parameters.values().numel()) << "every gradient was reported";
    const auto bias = parameters.entry("to_classes.bias");
    EXPECT_NEAR(FlatParameters::piece(parameters.sums(), bias).sum().item<double>(),
                static_cast<double>(logits.numel()), 1e-3);
  }
}

TEST(Descriptions, ThatDoNotFitAreRejected) {
  NetworkDescription half{.in_channels = 1};
  half.convolution(0, "to_classes", 2, {.kernel = {1, 2, 2}});
  EXPECT_THROW(geometry_of(half), Error) << "the margins at both ends differ";
  NetworkDescription mixed{.in_channels = 1};
  const int x = mixed.convolution(0, "convs.0", 2, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}});
  mixed.convolution(x, "to_classes", 2, {.kernel = {1, 3, 3}});
  EXPECT_THROW(geometry_of(mixed), Error) << "neither valid nor 'same'";
  NetworkDescription oblong{.in_channels = 1};
  oblong.convolution(0, "to_classes", 2, {.kernel = {1, 1, 3}});
  EXPECT_THROW(geometry_of(oblong), Error) << "y and x differ";
  EXPECT_EQ(axis_geometry(oblong, 2).margin, 1);
  NetworkDescription uneven{.in_channels = 1};
  const int smaller = uneven.convolution(0, "convs.0", 2, {.kernel = {1, 2, 2}});
  uneven.crop_and_concatenation(0, smaller);
  EXPECT_THROW(value_shapes(uneven, {1, 8, 8}), Error) << "a crop by an odd difference";
}

}  // namespace
}  // namespace tessera
