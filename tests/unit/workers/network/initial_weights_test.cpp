#include "workers/network/initial_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/error_message.h"
#include "workers/network/layer_choice.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tensor_array.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;

UNetOptions small_unet() {
  UNetOptions options = unet2015_options();
  options.base_filters = 3;
  options.depth = 2;
  return options;
}

Checkpoint stored(const UNetOptions& options, std::uint64_t seed = 1) {
  Checkpoint checkpoint;
  store_network(*make_network(options, seed), checkpoint);
  return checkpoint;
}

/// A network of seed 2 with the weights of the checkpoint.
std::shared_ptr<Network> started(const UNetOptions& options, const Checkpoint& from) {
  auto network = make_network(options, 2);
  take_weights(find_initial_weights(options, from, "a.h5"), from, "a.h5", *network);
  return network;
}

at::Tensor logits(const std::shared_ptr<Network>& network, const at::Tensor& images) {
  const torch::NoGradGuard no_grad;
  network->eval();
  return network->forward(images);
}

TEST(InitialWeights, TheSameNetworkIsTakenWhole) {
  for (const UNetOptions& base : {unet2015_options(), keras_same_options()}) {
    UNetOptions options = base;
    options.base_filters = 2;
    options.depth = 2;
    Checkpoint from = stored(options);
    for (auto& [path, array] : from.arrays) {  // batch statistics as after a training
      if (path.find("running_mean") != std::string::npos)
        array = array_of(at::full(array.shape, 0.25, at::kFloat));
    }
    const InitialWeights found = find_initial_weights(options, from, "a.h5");
    EXPECT_THAT(found.initialised, IsEmpty());
    EXPECT_THAT(found.adapted, IsEmpty());
    EXPECT_THAT(found.left_out, IsEmpty());
    Checkpoint result;
    store_network(*started(options, from), result);
    for (const auto& [path, array] : from.arrays)
      EXPECT_EQ(result.arrays.at(path).bytes, array.bytes) << path;
  }
}

TEST(InitialWeights, TheAverageIsTaken) {
  Checkpoint from = stored(small_unet());
  for (const auto& [path, array] : stored(small_unet(), 3).arrays)
    from.arrays["average/" + path.substr(std::string("weights/").size())] = array;
  Checkpoint result;
  store_network(*started(small_unet(), from), result);
  for (const auto& [path, array] : stored(small_unet(), 3).arrays)
    EXPECT_EQ(result.arrays.at(path).bytes, array.bytes) << path;
}

TEST(InitialWeights, OtherClassesBeginAnew) {
  UNetOptions three = small_unet();
  three.classes = 3;
  const Checkpoint from = stored(small_unet());
  const InitialWeights found = find_initial_weights(three, from, "a.h5");
  ASSERT_EQ(found.initialised.size(), 1U);
  const std::string head = found.initialised[0].layer;
  EXPECT_THAT(found.initialised[0].reason,
              AllOf(HasSubstr(head + ".weight has the shape (2, 3, 1, 1) there, (3, 3, 1, 1) here")));
  EXPECT_THAT(found.text(), AllOf(HasSubstr("12 layers taken"), HasSubstr("new: " + head)));
  Checkpoint result;
  store_network(*started(three, from), result);
  const Checkpoint fresh = stored(three, 2);
  for (const auto& [path, array] : result.arrays) {
    const bool is_head = path.find(head) != std::string::npos;
    EXPECT_EQ(array.bytes, (is_head ? fresh : from).arrays.at(path).bytes) << path;
  }
}

/// Equal channels give the same logits as before, for any two numbers of channels.
TEST(InitialWeights, AKernelIsAdaptedToOtherInputChannels) {
  const at::Tensor image = at::arange(60 * 60, at::kFloat).reshape({1, 1, 60, 60}).remainder(17).sub(8);
  for (const std::int64_t before : {1, 2, 3, 5}) {
    UNetOptions options = small_unet();
    options.in_channels = before;
    const Checkpoint from = stored(options);
    const auto source = make_network(options, 1);
    const at::Tensor expected = logits(source, image.repeat({1, before, 1, 1}));
    for (const std::int64_t now : {1, 2, 3, 5}) {
      if (now == before) continue;
      options.in_channels = now;
      const InitialWeights found = find_initial_weights(options, from, "a.h5");
      EXPECT_EQ(found.adapted.size(), 1U);
      EXPECT_THAT(found.initialised, IsEmpty());
      const at::Tensor result = logits(started(options, from), image.repeat({1, now, 1, 1}));
      EXPECT_TRUE(at::allclose(result, expected, 1e-4, 1e-4)) << before << " to " << now;
      EXPECT_GT(expected.abs().max().item<float>(), 0.1F);
    }
  }
}

TEST(InitialWeights, LayersOfTheCheckpointThatAreNotUsedAreNamed) {
  Checkpoint from = stored(small_unet());
  from.arrays["weights/extra.0.weight"] = from.arrays.begin()->second;
  EXPECT_THAT(find_initial_weights(small_unet(), from, "a.h5").left_out, ElementsAre("extra.0"));
}

TEST(InitialWeights, ANetworkThatDoesNotFitIsRefused) {
  UNetOptions wide = small_unet();
  wide.base_filters = 4;
  EXPECT_THAT(message_of([&] { find_initial_weights(wide, stored(small_unet()), "a.h5"); }),
              AllOf(HasSubstr("no layer of a.h5 fits"), HasSubstr("(3, 1, 3, 3) there, (4, 1, 3, 3) here")));
  EXPECT_THAT(message_of([&] { find_initial_weights(wide, Checkpoint(), "a.h5"); }),
              HasSubstr("not in the checkpoint"));
}

TEST(InitialWeights, LayersAreChosenByName) {
  const NetworkDescription network = small_unet();
  const std::vector<std::string> encoder = parameters_of_layers(network, {"encoder"});
  EXPECT_EQ(encoder.size(), 12U);  // 6 convolutions of 3 levels, weight and bias
  EXPECT_EQ(parameters_of_layers(network, {"*"}).size(), tensors_of(network).size());
  EXPECT_THAT(parameters_of_layers(network, {"convs.0"}), ElementsAre("convs.0.weight", "convs.0.bias"));
  EXPECT_THAT(parameters_of_layers(network, {"convs.[01]", "convs.0"}),
              ElementsAre("convs.0.weight", "convs.0.bias", "convs.1.weight", "convs.1.bias"));
  EXPECT_THAT(message_of([&] { parameters_of_layers(network, {"convs.99"}); }),
              AllOf(HasSubstr("'convs.99' is no layer"), HasSubstr("encoder"), HasSubstr("convs.0")));
  EXPECT_THAT(parameters_of_layers(network, {}), IsEmpty());
}

}  // namespace
}  // namespace tessera
