#include "pipeline/start/start_experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/hdf5/checkpoint_file.h"
#include "pipeline/config/yaml_scalar.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/inputs/image_inputs.h"
#include "pipeline/report/run_record.h"
#include "pipeline/run/progress.h"
#include "pipeline/start/experiment_text.h"
#include "pipeline/start/machine_check.h"
#include "pipeline/start/speed_measurement.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// Seconds of measurements, and the part of the training's minutes that they may take.
constexpr double kMeasuring_s = 20, kMeasuringShare = 0.1;
/// A prediction may take this part of the training's time before averaging is left out.
constexpr double kPredictionShare = 0.5;
constexpr double kVersions = 8;

/// The name of a folder, of letters, digits, '.', '-' and '_'.
std::string plain_name(const fs::path& path) {
  std::string name = path.stem().string().substr(0, 80);
  for (char& c : name) {
    const bool is_plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    if (!is_plain) c = '_';
  }
  if (name.empty() || name[0] == '.') name = "experiment" + name;
  return name;
}

/// The file or folder that an argument such as em.h5:/volumes/raw or stacks/ names.
fs::path file_of(const std::string& input) {
  const fs::path path = fs::path(input.substr(0, input.find(":/"))).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

/// The keys of `model:` that the checkpoint's training had.
std::vector<std::pair<std::string, std::string>> network_of(const std::string& file) {
  if (!file_exists(file)) throw UsageError(fmt::format("--checkpoint: there is no {}", file));
  const Checkpoint checkpoint = parse_checkpoint(read_file_bytes(file), file);
  std::vector<std::pair<std::string, std::string>> keys;
  const auto config = checkpoint.texts.find("config");
  if (config == checkpoint.texts.end()) return keys;
  for (const ConfigKey& one : config_keys(config->second, file)) {
    if (one.key.rfind("model.", 0) == 0) keys.emplace_back(one.key.substr(6), one.value);
  }
  return keys;
}

/// The volumes alone, as an experiment: its images are imported.
ExperimentConfig volumes_of(const StartFacts& facts) {
  std::string text =
      fmt::format("experiment: {}\ndata:\n  raw: {}\n", to_yaml(facts.name), to_yaml(facts.inputs.raw));
  if (facts.inputs.labels) text += fmt::format("  labels: {}\n", to_yaml(*facts.inputs.labels));
  if (!facts.resolution_nm.empty()) text += fmt::format("  resolution: {}\n", to_yaml(facts.resolution_nm));
  return parse_experiment(text, "the volumes", {}, {});
}

/// The imports that `init` makes. Those that did not exist before are removed again where it fails.
class NewImports {
 public:
  void import_all(const ExperimentConfig& volumes, bool replace) {
    images_ = volumes.images;
    for (const ImageInput& one : images_.all) {
      if (!file_exists(one.dataset.file)) made_.push_back(one.dataset.file);
    }
    import_images(volumes, InputUse::all, replace);
  }

  /// A message about these datasets, with the names of the images that they are imported from.
  std::string with_images(std::string text) const {
    for (const ImageInput& one : images_.all) {
      const std::string dataset = one.dataset.text();
      for (std::size_t at = text.find(dataset); at != std::string::npos; at = text.find(dataset, at))
        text.replace(at, dataset.size(), one.images.string());
    }
    return text;
  }

  void remove() const {
    std::error_code ignored;
    for (const fs::path& file : made_) {
      fs::remove(file, ignored);
      fs::remove(fs::path(file).replace_extension(".json"), ignored);
      for (fs::path folder = file.parent_path(); !folder.empty(); folder = folder.parent_path()) {
        if (!fs::is_empty(folder, ignored) || !fs::remove(folder, ignored)) break;
      }
    }
  }

 private:
  ImageInputs images_;
  std::vector<fs::path> made_;
};

StartFacts look_at(const InitRequest& request, const std::string& name, NewImports& imports) {
  StartFacts facts;
  facts.name = name;
  facts.machine = this_machine("auto");
  facts.inputs = choose_inputs(request.input, request.labels);
  facts.resolution_nm = request.resolution_nm;
  facts.checkpoint = request.checkpoint;
  if (!facts.inputs.labels && !facts.checkpoint) {
    throw UsageError(
        fmt::format("no labels were found for {}: name them by --labels (FILE.h5:/path, a TIFF stack or a "
                    "folder), or predict with a trained network by --checkpoint FILE",
                    facts.inputs.raw));
  }
  if (facts.checkpoint) facts.network = network_of(*facts.checkpoint);
  const ExperimentConfig volumes = volumes_of(facts);
  imports.import_all(volumes, request.overwrite);
  facts.survey = survey_data(*volumes.data.raw, volumes.data.labels);
  if (facts.survey.labels) facts.split = split_sections(facts.survey.found.annotated);
  return facts;
}

/// Measures the network of `settings`, and sets the iterations.
void measure(const StartFacts& facts, StartSettings& settings, const Device& device, double budget_s) {
  const ExperimentConfig config =
      parse_experiment(experiment_text(facts, settings), "the new experiment", {}, {.training = true});
  const std::vector<AnnotatedVolume> volumes = find_volumes(config.data, Communicator::alone());
  const TrainingSpeed training = measure_training(config, volumes, settings.tile, device, budget_s * 0.6);
  const Index3 tile{1, settings.tile, settings.tile};
  const PredictionSpeed prediction =
      measure_prediction(config, facts.survey.raw, tile, Averaging::none, device, budget_s * 0.2);
  constexpr double kMargins = 1.5;  // input pixels per output pixel
  const double pixels = static_cast<double>(facts.survey.raw.shape.y * facts.survey.raw.shape.x);
  const double section_s = kMargins * prediction.pixel_s * pixels;
  double held_out = 0;
  for (const Sections& one : facts.split.validation)
    held_out += static_cast<double>(one.count());
  // Beside the prediction: scores, previews, a checkpoint and a new report. ISBI-2012 and FIB-25, 2 cores.
  constexpr double kScorePixel_s = 0.6e-6, kRecords_s = 0.5;
  const double validation_s = held_out * (section_s + kScorePixel_s * pixels) + kRecords_s;
  const int parallel = std::max(1, facts.machine.gpus);
  set_iterations(settings, training.sample_s, validation_s, parallel);
  settings.prediction_s = section_s * static_cast<double>(facts.survey.raw.shape.z) / parallel;
  const auto counted = [](int count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
  };
  settings.measured = fmt::format("{:.2g} s a sample ({}), {:.2g} s to predict a section ({}), on {}",
                                  training.sample_s, counted(training.iterations, "iteration"), section_s,
                                  counted(prediction.tiles, "tile"), device.text());
}

/// Other programs make what is measured too slow.
void warn_when_busy(const Machine& machine) {
  double load = 0;
  if (getloadavg(&load, 1) != 1 || load < 0.5 * machine.cores) return;
  spdlog::warn(
      "other programs use this machine (load {:.1f} on {} cores): what is measured here is slower than "
      "it could be",
      load, machine.cores);
}

StartSettings choose(const StartFacts& facts, const StartWishes& wishes) {
  StartSettings settings = first_settings(facts, wishes);
  if (facts.checkpoint || (settings.gpu && facts.machine.gpus == 0)) return settings;
  warn_when_busy(facts.machine);
  const double budget_s = std::min(kMeasuring_s, kMeasuringShare * 60 * settings.minutes);
  std::cout << fmt::format("measuring this machine for about {} ...\n", duration_text(budget_s))
            << std::flush;
  const Device device = choose_device(Communicator::alone(), true, "auto", 0);
  choose_algorithms(device, false);
  double left_s = budget_s;
  while (true) {
    measure(facts, settings, device, left_s / 2);
    left_s /= 2;
    const auto filters = better_filters(settings);
    const bool too_little_time = left_s < budget_s / 8;
    if (!filters || too_little_time) break;
    settings.base_filters = *filters;
  }
  const double averaged_s = kVersions * settings.prediction_s;
  if (averaged_s < kPredictionShare * 60 * settings.minutes) {
    settings.averaging = Averaging::rotations7;
    settings.prediction_s = averaged_s;
  }
  return settings;
}

void print_next(const StartFacts& facts, const StartSettings& settings, const fs::path& file) {
  std::string expected;
  if (!settings.measured.empty()) {
    expected = fmt::format("   # about {} of training, {} of prediction",
                           duration_text(60 * settings.minutes), duration_text(settings.prediction_s));
  }
  std::cout << fmt::format("{}: written\nnext:\n  tessera check {}   # the plan\n  tessera run {}{}\n",
                           file.string(), file.string(), file.string(), expected)
            << std::flush;
  const fs::path training = fs::path("runs") / facts.name / "training.json";
  if (file_exists(training) && !facts.checkpoint)
    spdlog::warn("{} holds a training already: 'tessera run' goes on with it, or --overwrite starts over",
                 training.parent_path().string());
}

void write_experiment(const InitRequest& request, const fs::path& file, NewImports& imports) {
  const StartFacts facts = look_at(request, plain_name(file), imports);
  std::cout << facts_text(facts) << std::flush;
  for (const std::string& note : facts.inputs.notes)
    std::cout << "note    " << note << "\n" << std::flush;
  for (const std::string& concern : concerns_about(facts))
    spdlog::warn("{}", concern);
  const StartSettings settings = choose(facts, request.wishes);
  const std::string text = experiment_text(facts, settings);
  // For its errors: the file must work as it is.
  parse_experiment(text, file.string(), {}, {.training = !facts.checkpoint.has_value(), .inference = true});
  write_text_file(file, text);
  print_next(facts, settings, file);
}

}  // namespace

fs::path init_experiment(const InitRequest& request) {
  const fs::path input = file_of(request.input);
  fs::path file = request.output.empty() ? fs::path(plain_name(input) + ".yaml") : request.output;
  if (file.extension() != ".yaml" && file.extension() != ".yml")
    throw UsageError(fmt::format("--output {}: name a .yaml file", file.string()));
  const FileLock lock(file);
  if (!request.overwrite && file_exists(file)) {
    throw UsageError(
        fmt::format("{} exists already: pass --overwrite to replace it, or name another file by "
                    "--output",
                    file.string()));
  }
  NewImports imports;
  try {
    write_experiment(request, file, imports);
  } catch (const UsageError& error) {
    imports.remove();
    throw UsageError(imports.with_images(error.what()));
  } catch (const Error& error) {
    imports.remove();
    throw Error(imports.with_images(error.what()));
  }
  return file;
}

}  // namespace tessera
