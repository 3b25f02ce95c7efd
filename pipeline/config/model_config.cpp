#include "pipeline/config/model_config.h"

namespace tessera {
namespace {

std::optional<TorchScriptConfig> read_torchscript(ConfigSection& model) {
  const auto file =
      model.optional<std::string>({"torchscript",
                                   "A TorchScript file: infer predicts with this network instead of a "
                                   "checkpoint. Loading the file runs code in "
                                   "it; use only files that you trust.",
                                   {.example = "network.pt",
                                    .fallback = "none",
                                    .form = "a file",
                                    .related = "model.margin model.alignment model.activation"}});
  TorchScriptConfig given;
  given.margin = model.optional<std::int64_t>(
      {"margin",
       "Of a TorchScript network: the pixels on each side that are lost (valid padding) or invalid (same).",
       {.example = "92",
        .fallback = "as recorded in a file of 'tessera export-model'",
        .related = "model.torchscript model.padding"}},
      between(0, 4096));
  given.alignment =
      model.optional<std::int64_t>({"alignment",
                                    "Of a TorchScript network: 2^(number of poolings).",
                                    {.example = "16",
                                     .fallback = "as recorded in a file of 'tessera export-model'",
                                     .related = "model.torchscript model.depth"}},
                                   between(1, 1024));
  given.activation = model.optional_choice<Activation>(
      {"activation",
       "Of a TorchScript network: what turns its outputs into probabilities. none: they are probabilities.",
       {.example = "none",
        .fallback = "as recorded in a file of 'tessera export-model'",
        .related = "model.torchscript"}});
  if (!file) {
    for (const char* key : {"margin", "alignment", "activation"}) {
      if (model.has(key)) model.problem(key, "describes a TorchScript network: it needs model.torchscript");
    }
    return std::nullopt;
  }
  given.file = *file;
  return given;
}

/// The keys that only U-Nets have.
void read_unet(ConfigSection& model, UNetOptions& o) {
  o.depth = static_cast<int>(model.get<std::int64_t>(
      {"depth",
       "The number of poolings. Each doubles what a pixel sees, and the margin with it.",
       {.example = "3", .related = "model.base_filters train.tile"}},
      o.depth, between(1, 7)));
  o.padding = model.choice({"padding",
                            "Of the convolutions. valid: the output is smaller than the input, and exact "
                            "everywhere. same: both have the same size.",
                            {.example = "same"}},
                           o.padding);
  o.batch_norm = model.get<bool>({"batch_norm",
                                  "true: batch normalisation after each convolution.",
                                  {.example = "true", .related = "train.samples_at_once"}},
                                 o.batch_norm);
  o.dropout =
      model.get<double>({"dropout",
                         "The dropout rate. unet2015: in the two deepest levels of the contracting path. "
                         "keras_same: in every level.",
                         {.example = "0.1"}},
                        o.dropout, between(0, 0.95));
  o.block_convs = static_cast<int>(model.get<std::int64_t>(
      {"block_convs", "The number of 3x3 convolutions per level, in each path.", {.example = "1"}},
      o.block_convs, between(1, 4)));
  if (o.padding == Padding::valid && o.up_kernel == 3) o.up_kernel = 2;
}

/// ciresan2012 has a fixed window, valid padding, and no dropout.
void reject_keys_of_unets(ConfigSection& model) {
  for (const char* key : {"depth", "padding", "batch_norm", "dropout", "block_convs"}) {
    if (model.has(key))
      model.problem(key, "goes with the U-Nets: remove it, or set model.preset to unet2015 or keras_same");
  }
}

}  // namespace

ModelConfig read_model(ConfigSection model) {
  ModelConfig config;
  config.preset =
      model.choice({"preset",
                    "The network that the defaults of the other keys describe. unet2015: "
                    "Ronneberger et al. 2015. keras_same: a U-Net with "
                    "'same' padding, batch normalisation, sigmoid. ciresan2012: the sliding-window "
                    "network of Ciresan et al. 2012, at all pixels at once.",
                    {.example = "keras_same"}},
                   "unet2015", {"unet2015", "keras_same", "ciresan2012"});
  UNetOptions& o = config;
  o = config.preset == "keras_same" ? keras_same_options() : unet2015_options();
  if (config.is_window_network()) o.base_filters = WindowNetworkOptions().maps;
  o.base_filters =
      model.get<std::int64_t>({"base_filters",
                               "Filters of the first level. Each pooling doubles them. Fewer filters "
                               "are faster and need less memory. ciresan2012: of every convolution.",
                               {.example = "16", .related = "model.depth"}},
                              o.base_filters, between(1, 1024));
  if (config.is_window_network()) {
    reject_keys_of_unets(model);
  } else {
    read_unet(model, o);
  }
  o.in_channels = model.get<std::int64_t>({"in_channels",
                                           "The raw volume's channels times an odd number of input sections. "
                                           "With 3 and a volume of one channel, the "
                                           "network sees a section and its two neighbours.",
                                           {.example = "3", .related = "train.augmentation.missing_section"}},
                                          o.in_channels, between(1, 4096));
  o.classes = model.get<std::int64_t>({"classes",
                                       "The number of classes. 1: sigmoid. 2 and more: softmax.",
                                       {.example = "3", .related = "data.label_kind infer.class"}},
                                      o.classes, between(1, 255));
  config.torchscript = read_torchscript(model);
  return config;
}

}  // namespace tessera
