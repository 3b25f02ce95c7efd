#include "workers/network/torchscript_export.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string_view>

#include "io/base/error.h"
#include "io/base/staged_file.h"
#include "workers/network/network.h"

namespace tessera {
namespace {

/// Replaces dots, which TorchScript does not allow in attribute names.
std::string attribute_name(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

/// Writes the text of forward(), one layer after another. The variable of a value is `x` if only the next
/// layer reads it, else `v` and the value's index.
class ForwardText {
 public:
  explicit ForwardText(const NetworkDescription& network) : network_(network) {}

  std::string text() {
    text_ = "def forward(self, x):\n";
    if (!only_next_reads(0)) text_ += "    v0 = x\n";
    for (std::size_t i = 0; i < network_.layers.size(); ++i)
      add(static_cast<int>(i));
    return text_ +
           (network_.classes() == 1 ? "    return torch.sigmoid(x)\n" : "    return torch.softmax(x, 1)\n");
  }

 private:
  using Kind = LayerDescription::Kind;

  void add(int number) {
    const LayerDescription& layer = network_.layers[static_cast<std::size_t>(number)];
    const std::string x = name_of(layer.inputs.front(), number);
    const Window& window = layer.window;
    const int dims = network_.dimensions;
    const std::string of_layer = attribute_name(layer.name);
    switch (layer.kind) {
      case Kind::convolution:
        text_ += fmt::format("    x = torch.conv{}d({}, {}, {}, {}, {})\n", dims, x, weights(of_layer),
                             list(window.stride), list(window.padding), list(window.dilation));
        break;
      case Kind::up_convolution:
        for (int axis = 0; axis < dims; ++axis) {
          text_ +=
              fmt::format("    n{} = {} * {}.size({})\n", axis, window.stride[3 - dims + axis], x, axis + 2);
        }
        text_ += fmt::format("    x = torch.conv_transpose{}d({}, {}, {})\n", dims, x, weights(of_layer),
                             list(window.stride));
        for (int axis = 0; axis < dims; ++axis)
          text_ += fmt::format("    x = x.narrow({0}, 0, n{1})\n", axis + 2, axis);
        break;
      case Kind::max_pooling:
        text_ += fmt::format("    x = torch.max_pool{}d({}, {}, {}, {}, {})\n", dims, x, list(window.kernel),
                             list(window.stride), list(window.padding), list(window.dilation));
        break;
      case Kind::crop_and_concatenation:
        add_concatenation(x, name_of(layer.inputs[1], number));
        break;
      case Kind::batch_normalisation:
        text_ += fmt::format(
            "    x = torch.batch_norm({0}, {1}, self.{2}_running_mean, self.{2}_running_var, False, {3}, "
            "{4}, "
            "False)\n",
            x, weights(of_layer), of_layer, kBatchNormMomentum, kBatchNormEpsilon);
        break;
      case Kind::relu:
        text_ += fmt::format("    x = torch.relu({})\n", x);
        break;
      case Kind::dropout:
        if (x != "x") text_ += fmt::format("    x = {}\n", x);
        break;
    }
    if (!only_next_reads(number + 1)) text_ += fmt::format("    v{} = x\n", number + 1);
  }

  void add_concatenation(const std::string& skip, const std::string& x) {
    text_ += fmt::format("    s = {}\n", skip);
    for (int axis = 2; axis < network_.dimensions + 2; ++axis) {
      text_ +=
          fmt::format("    s = s.narrow({1}, (s.size({1}) - {0}.size({1})) // 2, {0}.size({1}))\n", x, axis);
    }
    text_ += fmt::format("    x = torch.cat([s, {}], 1)\n", x);
  }

  /// Whether only the next layer reads a value.
  bool only_next_reads(int value) const {
    const std::vector<int> readers = network_.readers_of(value);
    return std::all_of(readers.begin(), readers.end(), [&](int reader) { return reader == value; });
  }
  /// The variable of a value in layer `reader`. The previous layer's output, or the input, is `x`.
  static std::string name_of(int value, int reader) {
    return value == reader ? std::string("x") : fmt::format("v{}", value);
  }
  static std::string weights(const std::string& layer) {
    return fmt::format("self.{0}_weight, self.{0}_bias", layer);
  }
  std::string list(const Index3& of) const {
    return network_.dimensions == 2 ? fmt::format("[{}, {}]", of.y, of.x)
                                    : fmt::format("[{}, {}, {}]", of.z, of.y, of.x);
  }

  const NetworkDescription& network_;
  std::string text_;
};

}  // namespace

std::string torchscript_forward(const NetworkDescription& network) {
  return ForwardText(network).text();
}

void export_torchscript(const Network& network, const Normalisation& normalisation,
                        const std::filesystem::path& file, bool by_volume) {
  const NetworkDescription& description = network.description();
  torch::jit::Module module("TesseraNetwork");
  const auto plain = [](const at::Tensor& tensor) {
    return tensor.detach().to(at::kCPU).contiguous().clone();
  };
  for (const auto& item : network.named_parameters()) {
    module.register_parameter(attribute_name(item.key()), plain(item.value()), false);
  }
  for (const auto& item : network.named_buffers()) {
    if (item.key().find("num_batches") == std::string::npos) {
      module.register_parameter(attribute_name(item.key()), plain(item.value()), true);
    }
  }
  module.define(torchscript_forward(description));
  module.eval();
  const NetworkGeometry geometry = geometry_of(description);
  const nlohmann::json facts{{"padding", name_of(geometry.padding)},
                             {"margin", geometry.margin},
                             {"alignment", geometry.alignment},
                             {"in_channels", description.in_channels},
                             {"classes", description.classes()},
                             {"activation", "none"},
                             {"mean", normalisation.mean},
                             {"std", normalisation.std},
                             {"by_volume", by_volume}};
  // Into memory: the library does not report every failed write of a file, and ends the process at others.
  std::ostringstream archive;
  try {
    module.save(archive, {{kTorchScriptFacts, facts.dump(2)}});
  } catch (const c10::Error& error) {
    throw Error(fmt::format("cannot write {}: {}", file.string(), error.what_without_backtrace()));
  }
  const std::string_view bytes = archive.view();
  replace_file(file, std::as_bytes(std::span(bytes)));
}

}  // namespace tessera
