#include "pipeline/config/experiment.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/mpi/agreement.h"

namespace tessera {
ExperimentConfig parse_experiment(const std::string& text, const std::string& file,
                                  const std::vector<std::string>& overrides, const ConfigNeeds& needs) {
  ConfigDocument document(text, file, overrides);
  ConfigSection root = document.root();
  ExperimentConfig config;
  config.name = root.require<std::string>("experiment");
  const bool named_well = !config.name.empty() && config.name.size() <= 100 && config.name[0] != '.' &&
                          config.name.find_first_of("/\\\n\t") == std::string::npos;
  if (!named_well && root.has("experiment"))
    root.problem("experiment", "must be the name of a folder, without '/'");
  config.run_folder = root.get<std::string>("run_folder", "runs/" + config.name);
  config.device = root.choice("device", "auto", {"auto", "cpu", "cuda"});
  std::vector<ConfigSection> volumes = read_data(root.section("data"), config.data, needs.training);
  config.model = read_model(root.section("model"));
  config.train = read_train(root.section("train"), config.network());
  config.infer =
      read_infer(root.section("infer"), config.data, config.model.torchscript.has_value(), needs.inference);
  if (config.data.ignore_label && config.train.ignore_label &&
      config.data.ignore_label != config.train.ignore_label) {
    root.section("train").problem(
        "ignore_label",
        fmt::format("is {}, data.ignore_label is {}: take one of them out",
                    label_id_text(*config.train.ignore_label), label_id_text(*config.data.ignore_label)));
  }
  config.train.trainer.samples.min_foreground = config.data.min_foreground;
  check_labels(volumes, config.data, config.model.classes, config.train.ignore_label);
  config.evaluate = read_evaluate(root.section("evaluate"), config.data, config.infer);
  config.slurm = read_slurm(root.section("slurm"));
  const std::vector<VolumeConfig> all = config.data.all_volumes();
  const bool held_out =
      std::ranges::any_of(all, [](const VolumeConfig& one) { return one.validation_sections.has_value(); });
  if (config.train.patience > 0 && !held_out && needs.training) {
    root.section("train").problem(
        "patience",
        "waits for a better validation: it needs validation_sections in data or in one of "
        "data.volumes");
  }
  document.finish();
  config.resolved_yaml = document.resolved_yaml();
  return config;
}

ExperimentConfig read_experiment(const std::string& file, const std::vector<std::string>& overrides,
                                 const ConfigNeeds& needs, const Communicator& world) {
  std::string text;
  on_root(world, [&] {
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
