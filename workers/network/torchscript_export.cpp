#include "workers/network/torchscript_export.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

/// TorchScript attributes have no dots in their names.
std::string attribute_name(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

}  // namespace

std::string torchscript_forward(const UNetOptions& options) {
  const int pad = options.padding == Padding::same ? 1 : 0;
  std::string text = "def forward(self, x):\n";
  int conv = 0;
  const auto block = [&] {
    for (int c = 0; c < options.block_convs; ++c, ++conv) {
      text += fmt::format(
          "    x = torch.conv2d(x, self.convs_{0}_weight, self.convs_{0}_bias, [1, 1], [{1}, {1}])\n", conv,
          pad);
      if (options.batch_norm) {
        text += fmt::format(
            "    x = torch.batch_norm(x, self.norms_{0}_weight, self.norms_{0}_bias, "
            "self.norms_{0}_running_mean, "
            "self.norms_{0}_running_var, False, 0.01, {1}, False)\n",
            conv, kBatchNormEpsilon);
      }
      text += "    x = torch.relu(x)\n";
    }
  };
  for (int level = 0; level <= options.depth; ++level) {
    block();
    if (level < options.depth)
      text += fmt::format("    s{} = x\n    x = torch.max_pool2d(x, [2, 2])\n", level);
  }
  for (int level = options.depth - 1, up = 0; level >= 0; --level, ++up) {
    text += fmt::format("    h{0} = 2 * x.size(2)\n    w{0} = 2 * x.size(3)\n", level);
    text += fmt::format("    x = torch.conv_transpose2d(x, self.ups_{0}_weight, self.ups_{0}_bias, [2, 2])\n",
                        up);
    text += fmt::format("    x = x.narrow(2, 0, h{0}).narrow(3, 0, w{0})\n", level);
    text += fmt::format(
        "    s{0} = s{0}.narrow(2, (s{0}.size(2) - h{0}) // 2, h{0}).narrow(3, (s{0}.size(3) - w{0}) // 2, "
        "w{0})\n",
        level);
    text += fmt::format("    x = torch.cat([s{}, x], 1)\n", level);
    block();
  }
  text += "    x = torch.conv2d(x, self.to_classes_weight, self.to_classes_bias)\n";
  return text + (options.classes == 1 ? "    return torch.sigmoid(x)\n" : "    return torch.softmax(x, 1)\n");
}

void export_torchscript(const UNetImpl& network, const Normalisation& normalisation,
                        const std::filesystem::path& file, bool by_volume) {
  const UNetOptions& options = network.options();
  torch::jit::Module module("TesseraUNet");
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
  module.define(torchscript_forward(options));
  module.eval();
  const NetworkGeometry geometry = geometry_of(options);
  const nlohmann::json facts{{"padding", options.padding == Padding::same ? "same" : "valid"},
                             {"margin", geometry.margin},
                             {"alignment", geometry.alignment},
                             {"in_channels", options.in_channels},
                             {"classes", options.classes},
                             {"activation", "none"},
                             {"mean", normalisation.mean},
                             {"std", normalisation.std},
                             {"by_volume", by_volume}};
  StagedFile staged(file);
  try {
    module.save(staged.path().string(), {{kTorchScriptFacts, facts.dump(2)}});
  } catch (const c10::Error& error) {
    throw Error(fmt::format("cannot write {}: {}", file.string(), error.what_without_backtrace()));
  }
  staged.commit();
}

}  // namespace tessera
