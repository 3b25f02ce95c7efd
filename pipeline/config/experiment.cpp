#include "pipeline/config/experiment.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/other_format.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// The keys of the whole file.
void read_root(ConfigSection& root, ExperimentConfig& config) {
  config.name =
      root.require<std::string>({"experiment",
                                 "The name of the experiment, without '/'. The run folder is named after it.",
                                 {.example = "example", .form = "a name", .related = "run_folder"}})
          .value_or("");
  const bool named_well = !config.name.empty() && config.name.size() <= 100 && config.name[0] != '.' &&
                          config.name.find_first_of("/\\\n\t") == std::string::npos;
  if (!named_well && root.has("experiment"))
    root.problem("experiment", "must be the name of a folder, without '/'");
  config.run_folder = root.get<std::string>({"run_folder",
                                             "The folder that receives all that the run writes.",
                                             {.fallback = "runs/<experiment>", .form = "a folder"}},
                                            "runs/" + config.name);
  config.images.folder = root.get<std::string>(
      {"import_folder",
       "The folder that images (TIFF stacks, folders of sections) are imported to, once. Experiments on the "
       "same images may share it.",
       {.fallback = "imported in the run folder", .form = "a folder", .related = "data.raw infer.raw"}},
      (config.run_folder / "imported").string());
  config.device = root.choice(
      {"device", "Where the network runs. auto: CUDA where available, else the CPU.", {.example = "cpu"}},
      "auto", {"auto", "cpu", "cuda"});
}

/// Rules between keys of several sections.
void check_rules(ConfigSection& train, const ExperimentConfig& config, const ConfigNeeds& needs) {
  if (config.data.ignore_label && config.train.ignore_label &&
      config.data.ignore_label != config.train.ignore_label) {
    train.problem("ignore_label", fmt::format("is {}, data.ignore_label is {}: take one of them out",
                                              label_id_text(*config.train.ignore_label),
                                              label_id_text(*config.data.ignore_label)));
  }
  const std::vector<VolumeConfig> all = config.data.all_volumes();
  const bool held_out =
      std::ranges::any_of(all, [](const VolumeConfig& one) { return one.validation_sections.has_value(); });
  if (config.train.patience > 0 && !held_out && needs.training) {
    train.problem("patience",
                  "waits for a better validation: it needs validation_sections in data or in one of "
                  "data.volumes");
  }
}

/// Reads all keys. Problems are noted in the document.
ExperimentConfig read_keys(ConfigDocument& document, const ConfigNeeds& needs) {
  ConfigSection root = document.root();
  ExperimentConfig config;
  read_root(root, config);
  std::vector<ConfigSection> volumes = read_data(
      root.section({"data",
                    "The annotated volume, or several: raw voxels, labels, and the sections to train on.",
                    {.page = "docs/training.md"}}),
      config.data, config.images, needs.training);
  config.model = read_model(root.section(
      {"model", "The network, a U-Net. The defaults depend on the preset.", {.page = "docs/training.md"}}));
  ConfigSection train = root.section({"train", "How the network is trained.", {.page = "docs/training.md"}});
  config.train = read_train(train, config.network());
  config.infer =
      read_infer(root.section({"infer", "What is predicted, and how.", {.page = "docs/inference.md"}}),
                 {config.data, config.run_folder, config.model.classes, config.model.torchscript.has_value()},
                 config.images, needs.inference);
  check_rules(train, config, needs);
  config.train.trainer.samples.min_foreground = config.data.min_foreground;
  check_labels(volumes, config.data, config.model.classes, config.train.ignore_label);
  config.evaluate = read_evaluate(
      root.section({"evaluate", "What is compared with the labels, and how.", {.page = "docs/scores.md"}}),
      config.data, config.infer, config.images);
  const bool segments = root.has("segment") || needs.segmentation;
  config.segment =
      read_segment(root.section({"segment",
                                 "How a prediction is segmented into objects. An experiment with "
                                 "this section has the stage segment.",
                                 {.page = "docs/segmentation.md"}}),
                   {config.data, config.infer, config.run_folder, segments}, needs.segmentation);
  if (!segments) root.leave_out("segment");
  config.slurm = read_slurm(
      root.section({"slurm", "What `tessera submit` asks a Slurm cluster for.", {.page = "docs/cluster.md"}}),
      config.segment.memory_budget);
  return config;
}

}  // namespace

ExperimentConfig parse_experiment(const std::string& text, const std::string& file,
                                  const std::vector<std::string>& overrides, const ConfigNeeds& needs) {
  ConfigDocument document(text, file, overrides);
  ExperimentConfig config = read_keys(document, needs);
  document.finish();
  config.resolved_yaml = document.resolved_yaml();
  return config;
}

std::vector<KeyDescription> describe_keys(const ConfigNeeds& needs,
                                          const std::vector<std::string>& overrides) {
  ConfigDocument document = ConfigDocument::describing(overrides);
  read_keys(document, needs);
  return document.descriptions();
}

ExperimentConfig read_experiment(const std::string& file, const std::vector<std::string>& overrides,
                                 const ConfigNeeds& needs, const Communicator& world) {
  std::string text;
  on_root(world, [&] {
    const std::string extension = std::filesystem::path(file).extension().string();
    const bool is_named_yaml = extension == ".yaml" || extension == ".yml";
    if (const std::string found = is_named_yaml ? "" : volume_format(file); !found.empty()) {
      throw UsageError(fmt::format(
          "{0} is {1}: an experiment, a YAML file, is needed. 'tessera init {0}' writes one", file, found));
    }
    try {
      const std::vector<std::byte> bytes = read_file_bytes(file);
      text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    } catch (const Error& error) {
      throw UsageError(error.what());
    }
  });
  world.broadcast(text);
  return parse_experiment(text, file, overrides, needs);
}

std::int64_t context_sections(std::int64_t in_channels, std::int64_t raw_channels) {
  const std::int64_t seen = in_channels / raw_channels;
  if (in_channels % raw_channels != 0 || seen % 2 == 0) {
    throw UsageError(
        fmt::format("model.in_channels is {}, but the raw volume has {} channel{}: it must be that times an "
                    "odd number of sections "
                    "(1: the section alone, 3: with its two neighbours)",
                    in_channels, raw_channels, raw_channels == 1 ? "" : "s"));
  }
  return seen / 2;
}

}  // namespace tessera
