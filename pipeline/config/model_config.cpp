#include "pipeline/config/model_config.h"

namespace tessera {
namespace {

std::optional<TorchScriptConfig> read_torchscript(ConfigSection& model) {
  const auto file = model.optional<std::string>("torchscript");
  TorchScriptConfig given;
  given.margin = model.optional<std::int64_t>("margin", between(0, 4096));
  given.alignment = model.optional<std::int64_t>("alignment", between(1, 1024));
  if (model.has("activation")) {
    given.activation = model.choice("activation", Activation::softmax);
  }
  if (!file) {
    for (const char* key : {"margin", "alignment", "activation"}) {
      if (model.has(key)) model.problem(key, "describes a TorchScript network: it needs model.torchscript");
    }
    return std::nullopt;
  }
  given.file = *file;
  return given;
}

}  // namespace

ModelConfig read_model(ConfigSection model) {
  ModelConfig config;
  config.preset = model.choice("preset", "unet2015", {"unet2015", "keras_same"});
  UNetOptions& o = config;
  o = config.preset == "keras_same" ? keras_same_options() : unet2015_options();
  o.base_filters = model.get<std::int64_t>("base_filters", o.base_filters, between(1, 1024));
  o.depth = static_cast<int>(model.get<std::int64_t>("depth", o.depth, between(1, 7)));
  o.padding = model.choice("padding", o.padding);
  o.batch_norm = model.get<bool>("batch_norm", o.batch_norm);
  o.dropout = model.get<double>("dropout", o.dropout, between(0, 0.95));
  o.block_convs = static_cast<int>(model.get<std::int64_t>("block_convs", o.block_convs, between(1, 4)));
  o.in_channels = model.get<std::int64_t>("in_channels", o.in_channels, between(1, 4096));
  o.classes = model.get<std::int64_t>("classes", o.classes, between(1, 255));
  if (o.padding == Padding::valid && o.up_kernel == 3) o.up_kernel = 2;
  config.torchscript = read_torchscript(model);
  return config;
}

}  // namespace tessera
