#include "workers/network/torchscript_network.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>

#include <fstream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "small_descriptions.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/torchscript_export.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

UNetOptions small(bool same) {
  UNetOptions options = same ? keras_same_options() : unet2015_options();
  options.base_filters = 4;
  options.depth = 2;
  return options;
}

TEST(TorchScript, ExportedNetworksAgreeWithTheOriginal) {
  const testing::TemporaryFolder folder;
  const c10::InferenceMode inference;
  for (const bool same : {false, true}) {
    const UNetOptions options = small(same);
    const auto network = make_network(options, 6);
    export_torchscript(*network, {100, 20}, folder / "n.pt");
    const auto facts = read_torchscript_facts(read_torchscript_file(folder / "n.pt"));
    ASSERT_TRUE(facts.has_value());
    EXPECT_EQ(facts->mean, 100);
    EXPECT_EQ(facts->std, 20);
    EXPECT_EQ(facts->model.margin, geometry_of(options).margin);
    EXPECT_EQ(facts->model.classes, options.classes);
    const auto loaded = make_torchscript_network(facts->model, Precision::float32, {});
    const auto reference = make_libtorch_network(*network, Precision::float32, {});
    const std::int64_t side = geometry_of(options).input_side_for(32);
    const at::Tensor x = at::randn({1, 1, side, side + 16});
    EXPECT_LE((loaded->logits(x) - class_probabilities(reference->logits(x))).abs().max().item<double>(),
              1e-5);
  }
}

TEST(TorchScript, NetworksOfOtherLayersAgreeWithTheOriginal) {
  const testing::TemporaryFolder folder;
  const c10::InferenceMode inference;
  const auto network = make_network(testing::sliding_window(), 6);
  export_torchscript(*network, {100, 20}, folder / "n.pt");
  const auto facts = read_torchscript_facts(read_torchscript_file(folder / "n.pt"));
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->model.margin, 9);
  EXPECT_EQ(facts->model.alignment, 1);
  const auto loaded = make_torchscript_network(facts->model, Precision::float32, {});
  const auto reference = make_libtorch_network(*network, Precision::float32, {});
  const at::Tensor x = at::randn({1, 1, 40, 51});
  EXPECT_LE((loaded->logits(x) - class_probabilities(reference->logits(x))).abs().max().item<double>(), 1e-5);
  // For a 3-D network the test only compiles forward().
  export_torchscript(*make_network(testing::volume_unet(), 6), {}, folder / "volume.pt");
}

TEST(TorchScript, AFlippedBitAnywhereIsAnErrorThatNamesTheFile) {
  const testing::TemporaryFolder folder;
  export_torchscript(*make_network(small(false), 6), {100, 20}, folder / "n.pt");
  const std::vector<std::byte> bytes = read_file_bytes(folder / "n.pt");
  ASSERT_GT(bytes.size(), 1000U);
  for (std::size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 97) {
    std::vector<std::byte> damaged = bytes;
    damaged[at] ^= std::byte{1} << (at % 8);
    std::ofstream(folder / "damaged.pt", std::ios::binary)
        .write(reinterpret_cast<const char*>(damaged.data()), static_cast<std::streamsize>(damaged.size()));
    const std::string message = testing::message_of([&] { read_torchscript_file(folder / "damaged.pt"); });
    EXPECT_NE(message.find("damaged.pt is"), std::string::npos) << "byte " << at << ": " << message;
  }
}

TEST(TorchScript, TheProbeFindsTheGeometry) {
  const testing::TemporaryFolder folder;
  for (const bool same : {false, true}) {
    const UNetOptions options = small(same);
    export_torchscript(*make_network(options, 6), {}, folder / "n.pt");
    const TorchScriptProbe probe =
        probe_torchscript(read_torchscript_facts(read_torchscript_file(folder / "n.pt"))->model);
    const NetworkGeometry found = probe.traits.geometry, expected = geometry_of(options);
    EXPECT_EQ(found.margin, expected.margin);
    EXPECT_EQ(found.side_remainder, expected.side_remainder);
    EXPECT_TRUE(found.is_legal_input(expected.input_side_for(64)));
    EXPECT_LE(probe.tile_dependence, 1e-5);
    EXPECT_GE(probe.traits.bytes_per_pixel, 256);
  }
}

/// Writes a TorchScript file with the given forward().
TorchScriptFile script(const std::filesystem::path& file, const std::string& forward) {
  torch::jit::Module module("Own");
  module.define(forward);
  module.save(file.string());
  return read_torchscript_file(file);
}

TEST(TorchScript, TheProbeRejectsAWrongConfig) {
  const testing::TemporaryFolder folder;
  TorchScriptModel model;
  model.file =
      script(folder / "crop.pt",
             "def forward(self, x):\n    y = x[:, :, 3:-3, 3:-3]\n    return torch.cat([y, -y], 1)\n");
  model.margin = 3;
  model.alignment = 4;
  EXPECT_LE(probe_torchscript(model).tile_dependence,
            1e-6);  // rounding of the sigmoid may depend on the memory alignment
  model.classes = 3;
  EXPECT_THROW(probe_torchscript(model), UsageError);
  model.classes = 2;
  model.margin = 5;
  EXPECT_THROW(probe_torchscript(model), UsageError);
}

TEST(TorchScript, TheProbeDetectsTileDependence) {
  const testing::TemporaryFolder folder;
  TorchScriptModel model;
  model.file = script(folder / "norm.pt",
                      "def forward(self, x):\n    y = x - x.mean()\n    return torch.cat([y, -y], 1)\n");
  model.padding = Padding::same;
  model.alignment = 4;
  EXPECT_GT(probe_torchscript(model).tile_dependence, 1e-3);
}

TEST(TorchScript, RejectsOtherFiles) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "text.pt") << "no network";
  EXPECT_THROW(read_torchscript_facts(read_torchscript_file(folder / "text.pt")), Error);
  EXPECT_THROW(read_torchscript_file(folder / "none.pt"), Error);
}

}  // namespace
}  // namespace tessera
