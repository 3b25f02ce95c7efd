#include "pipeline/config/experiment.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "io/stores/dataset_wildcards.h"
#include "pipeline/config/config_values.h"
#include "pipeline/config/yaml_reader.h"
#include "pipeline/evaluate/evaluation_request.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// `auto`, or a whole number: 0 stands for auto.
std::int64_t number_or_auto(ConfigSection& section, const std::string& key, const Range& range) {
  const auto value = section.get_or_word<std::int64_t>(key, std::string("auto"), {"auto"}, range);
  return std::holds_alternative<std::string>(value) ? 0 : std::get<std::int64_t>(value);
}

/// Absent for automatic: (z, y, x).
std::optional<Index3> shape(ConfigSection& section, const std::string& key) {
  const auto sides = section.optional<std::vector<std::int64_t>>(key, at_least(1).of_count(3));
  if (!sides || sides->size() != 3) return std::nullopt;
  return Index3{(*sides)[0], (*sides)[1], (*sides)[2]};
}

/// Absent where the file has none: (z, y, x).
std::optional<Index3> position(ConfigSection& section, const std::string& key) {
  const auto at = section.optional<std::vector<std::int64_t>>(key, at_least(0).of_count(3));
  if (!at || at->size() != 3) return std::nullopt;
  return Index3{(*at)[0], (*at)[1], (*at)[2]};
}

void read_torchscript(ConfigSection& model, ExperimentConfig& config) {
  const auto file = model.optional<std::string>("torchscript");
  TorchScriptConfig given;
  given.margin = model.optional<std::int64_t>("margin", between(0, 4096));
  given.alignment = model.optional<std::int64_t>("alignment", between(1, 1024));
  if (model.has("activation")) {
    const std::string activation = model.choice("activation", "softmax", {"softmax", "sigmoid", "none"});
    given.activation = activation == "none"      ? Activation::none
                       : activation == "sigmoid" ? Activation::sigmoid
                                                 : Activation::softmax;
  }
  if (!file) {
    for (const char* key : {"margin", "alignment", "activation"}) {
      if (model.has(key))
        model.problem(key, "says something of a network from elsewhere: it needs model.torchscript");
    }
    return;
  }
  given.file = *file;
  config.torchscript = given;
}

void read_model(ConfigSection model, ExperimentConfig& config) {
  config.preset = model.choice("preset", "unet2015", {"unet2015", "keras_same"});
  UNetOptions& o = config.model;
  o = config.preset == "keras_same" ? keras_same_options() : unet2015_options();
  o.base_filters = model.get<std::int64_t>("base_filters", o.base_filters, between(1, 1024));
  o.depth = static_cast<int>(model.get<std::int64_t>("depth", o.depth, between(1, 7)));
  o.padding =
      model.choice("padding", o.padding == Padding::valid ? "valid" : "same", {"valid", "same"}) == "valid"
          ? Padding::valid
          : Padding::same;
  o.batch_norm = model.get<bool>("batch_norm", o.batch_norm);
  o.dropout = model.get<double>("dropout", o.dropout, between(0, 0.95));
  o.block_convs = static_cast<int>(model.get<std::int64_t>("block_convs", o.block_convs, between(1, 4)));
  o.in_channels = model.get<std::int64_t>("in_channels", o.in_channels, between(1, 4096));
  o.classes = model.get<std::int64_t>("classes", o.classes, between(1, 255));
  if (o.padding == Padding::valid && o.up_kernel == 3) o.up_kernel = 2;
  read_torchscript(model, config);
}

void read_optimizer(ConfigSection& train, TrainConfig& config) {
  using Kind = OptimizerOptions::Kind;
  OptimizerOptions& o = config.trainer.optimizer;
  const std::string kind = train.choice("optimizer", "sgd", {"sgd", "adam", "adamw"});
  o.kind = kind == "adamw" ? Kind::adamw : kind == "adam" ? Kind::adam : Kind::sgd;
  o.learning_rate = train.get<double>("learning_rate", o.learning_rate, above(0));
  config.trainer.scale_learning_rate = train.get<bool>("scale_learning_rate", false);
  o.momentum = train.get<double>("momentum", o.momentum, between(0, 0.9999));
  o.beta1 = train.get<double>("beta1", o.beta1, between(0, 0.9999));
  o.beta2 = train.get<double>("beta2", o.beta2, between(0, 0.999999));
  o.weight_decay = train.get<double>("weight_decay", 0, at_least(0));
  config.trainer.clip_norm = train.get<double>("clip_norm", 0, at_least(0));
  config.trainer.average_decay = train.get<double>("average_decay", 0, between(0, 0.9999999));
}

void read_schedule(ConfigSection schedule, TrainConfig& config) {
  using Kind = LearningRateSchedule::Kind;
  LearningRateSchedule& s = config.trainer.schedule;
  const std::string kind = schedule.choice("kind", "constant", {"constant", "step", "polynomial", "cosine"});
  s.kind = kind == "step"         ? Kind::step
           : kind == "polynomial" ? Kind::polynomial
           : kind == "cosine"     ? Kind::cosine
                                  : Kind::constant;
  s.iterations = config.iterations;
  s.warm_up = schedule.get<std::int64_t>("warm_up", 0, at_least(0));
  if (s.warm_up > 0 && s.warm_up >= config.iterations) {
    schedule.problem("warm_up",
                     fmt::format("{} iterations of warm-up leave nothing of the {} of train.iterations",
                                 s.warm_up, config.iterations));
  }
  s.step_every = schedule.get<std::int64_t>("step_every", s.step_every, at_least(1));
  s.step_factor = schedule.get<double>("step_factor", s.step_factor, between(1e-9, 1));
  s.power = schedule.get<double>("power", s.power, between(0.01, 100));
  s.floor = schedule.get<double>("floor", 0, between(0, 1));
}

void read_train(ConfigSection train, TrainConfig& config, const NetworkDescription& network) {
  TrainerOptions& t = config.trainer;
  config.iterations = train.get<std::int64_t>("iterations", config.iterations, at_least(1));
  config.minutes = train.get<double>("minutes", 0, at_least(0));
  t.global_batch = train.get<std::int64_t>("global_batch", 1, between(1, 65536));
  const std::int64_t tile = number_or_auto(train, "tile", at_least(1));
  config.tile_auto = tile == 0;
  const NetworkGeometry geometry = geometry_of(network);
  if (tile != 0) {
    t.samples.tile_side = tile;
    if (!geometry.is_legal_input(tile)) {
      train.problem("tile", fmt::format("a tile of {} pixels does not fit the network: {}", tile,
                                        geometry.legal_sides_text(tile)));
    }
  }
  read_optimizer(train, config);
  read_schedule(train.section("schedule"), config);
  const std::string precision = train.choice("precision", "auto", {"auto", "float32", "bfloat16"});
  if (precision != "auto")
    config.precision = precision == "float32" ? Precision::float32 : Precision::bfloat16;
  t.reproducible = train.get<bool>("reproducible", false);
  t.wire =
      train.choice("wire", "float32", {"float32", "bfloat16"}) == "bfloat16" ? Wire::bfloat16 : Wire::float32;
  t.nccl = train.get<bool>("nccl", true);
  t.cuda_aware_mpi = train.get<bool>("cuda_aware_mpi", false);
  if (t.cuda_aware_mpi && (t.reproducible || t.wire == Wire::bfloat16)) {
    train.problem(
        "cuda_aware_mpi",
        "sums float32 in the devices' memory, in MPI's order: leave wire at float32 and reproducible at "
        "false, or cuda_aware_mpi at false");
  }
  if (t.reproducible && t.wire == Wire::bfloat16) {
    train.problem("wire",
                  "train.reproducible sums in float32, in an order of its own: leave wire at float32, or "
                  "reproducible at false");
  }
  const std::string sampling = train.choice("samples_on", "auto", {"auto", "host", "device"});
  t.sampling = sampling == "host"     ? SamplingPlace::host
               : sampling == "device" ? SamplingPlace::device
                                      : SamplingPlace::automatic;
  t.samples_at_once = number_or_auto(train, "samples_at_once", between(1, 65536));
  if (t.samples_at_once > 1 && (t.reproducible || network.has_batch_statistics())) {
    train.problem("samples_at_once",
                  t.reproducible
                      ? "train.reproducible sums sample by sample: leave it at auto, or reproducible at false"
                      : "batch normalisation takes the statistics of each sample: leave it at auto");
  }
  config.report_every = number_or_auto(train, "report_every", at_least(1));
  ConfigSection weight_map = train.section("weight_map");
  t.samples.class_balance = weight_map.get<bool>("class_balance", true);
  config.weight_map.w0 = weight_map.get<double>("w0", config.weight_map.w0, between(0, 1e6));
  config.weight_map.sigma = weight_map.get<double>("sigma", config.weight_map.sigma, between(0.01, 1e6));
  t.dice_weight = train.get<double>("dice_weight", 0, between(0, 1e6));
  config.ignore_label = train.optional<std::int64_t>("ignore_label", at_least(0));
  t.samples.seed = static_cast<std::uint64_t>(train.get<std::int64_t>("seed", 1, at_least(0)));
  config.threads = static_cast<int>(number_or_auto(train, "threads", between(1, 4096)));
  t.prefetch_threads = static_cast<int>(train.get<std::int64_t>("prefetch_threads", 1, between(0, 64)));
  config.validate_every = train.get<std::int64_t>("validate_every", 200, at_least(1));
  const std::string metric = train.choice("validation_metric", "pixel_error", {"pixel_error", "iou", "rand"});
  config.validation_metric = metric == "iou"    ? ValidationMetric::iou
                             : metric == "rand" ? ValidationMetric::rand
                                                : ValidationMetric::pixel_error;
  config.patience = train.get<std::int64_t>("patience", 0, at_least(0));
  config.checkpoint_every = train.get<std::int64_t>("checkpoint_every", 200, at_least(1));
  config.keep_checkpoints = train.get<std::int64_t>("keep_checkpoints", 3, between(1, 100000));
  ConfigSection augmentation = train.section("augmentation");
  AugmentationOptions& a = t.samples.augmentation;
  a.rotate = augmentation.get<bool>("rotate", a.rotate);
  a.mirror = augmentation.get<bool>("mirror", a.mirror);
  a.contrast = augmentation.get<double>("contrast", a.contrast, between(0, 1));
  a.brightness = augmentation.get<double>("brightness", a.brightness, between(0, 10));
  a.noise = augmentation.get<double>("noise", a.noise, between(0, 10));
  a.elastic = augmentation.get<double>("elastic", a.elastic, between(0, 1000));
  a.rotation = augmentation.get<double>("rotation", a.rotation, between(0, 180));
  a.scaling = augmentation.get<double>("scaling", a.scaling, between(0, 0.9));
  a.shift = augmentation.get<double>("shift", a.shift, between(0, 10000));
  a.gamma = augmentation.get<double>("gamma", a.gamma, between(0, 3));
  a.blur = augmentation.get<double>("blur", a.blur, between(0, 50));
  a.missing_section = augmentation.get<double>("missing_section", a.missing_section, between(0, 1));
  a.misaligned_section = augmentation.get<double>("misaligned_section", a.misaligned_section, between(0, 1));
  a.misalignment = augmentation.get<std::int64_t>("misalignment", a.misalignment, between(0, 1000));
  a.low_contrast_section =
      augmentation.get<double>("low_contrast_section", a.low_contrast_section, between(0, 1));
}

/// What is written: which classes, as what, and where nothing is.
void read_result(ConfigSection& infer, InferConfig& i) {
  i.output_class = infer.get<std::int64_t>("class", 1, between(0, 254));
  i.classes = infer.get<std::vector<std::int64_t>>("classes", {i.output_class}, between(0, 254));
  if (i.classes.empty()) {
    infer.problem("classes", "at least one class is needed");
    i.classes = {i.output_class};
  }
  i.output_class = i.classes.front();
  i.labels = infer.choice("write", "probability", {"probability", "labels"}) == "labels";
  const std::string type = infer.choice("dtype", "uint8", {"uint8", "float16", "float32"});
  i.type = type == "uint8" ? VoxelType::uint8 : type == "float16" ? VoxelType::float16 : VoxelType::float32;
  if (i.labels && i.type != VoxelType::uint8) infer.problem("dtype", "labels are written as uint8");
  ConfigSection region = infer.section("region");
  i.region_begin = position(region, "begin");
  i.region_end = position(region, "end");
  ConfigSection skip = infer.section("skip");
  i.skip_mask = dataset(skip, "mask");
  const auto background = skip.optional<std::vector<double>>("background", list_of(2));
  if (background && background->size() == 2) {
    if ((*background)[0] > (*background)[1]) skip.problem("background", "the lower value comes first");
    i.background = {(*background)[0], (*background)[1]};
  }
}

void read_averaging(ConfigSection& infer, InferConfig& i) {
  const std::string averaging = infer.choice("averaging", "none", {"none", "rotations7", "symmetries8"});
  i.averaging = averaging == "rotations7"    ? Averaging::rotations7
                : averaging == "symmetries8" ? Averaging::symmetries8
                                             : Averaging::none;
  const std::string blending = infer.choice("blend", "crop", {"crop", "linear", "gaussian"});
  i.blending = blending == "linear"     ? Blending::linear
               : blending == "gaussian" ? Blending::gaussian
                                        : Blending::crop;
  i.blend_overlap = infer.get<std::int64_t>("blend_overlap", 64, between(1, 65536));
  if (i.blending != Blending::crop && i.averaging == Averaging::rotations7) {
    infer.problem("blend",
                  "rotated versions have no seams to blend: set blend: crop, or averaging: symmetries8");
  }
}

void read_normalisation(ConfigSection& infer, InferConfig& i) {
  const std::string kind =
      infer.choice("normalisation", "checkpoint", {"checkpoint", "volume", "section", "fixed"});
  i.normalisation = kind == "volume"    ? NormalisationKind::volume
                    : kind == "section" ? NormalisationKind::section
                    : kind == "fixed"   ? NormalisationKind::fixed
                                        : NormalisationKind::checkpoint;
  const auto values = infer.optional<std::vector<double>>("mean_and_std", list_of(2));
  if (values && values->size() == 2) {
    i.fixed_normalisation = {(*values)[0], (*values)[1]};
    if ((*values)[1] <= 0) infer.problem("mean_and_std", "the standard deviation must be above 0");
    if (i.normalisation != NormalisationKind::fixed)
      infer.problem("mean_and_std", "is used with normalisation: fixed only");
  } else if (i.normalisation == NormalisationKind::fixed) {
    infer.problem("normalisation", "fixed needs mean_and_std: [mean, standard deviation]");
  }
}

/// Brackets in a file's name are taken for a part of the name here: many files are really called so.
bool names_several(const std::optional<DatasetName>& name) {
  return name &&
         (!wildcards_of(name->path).empty() || name->file.string().find_first_of("*?") != std::string::npos);
}
/// Whether no one volume can stand for the training's.
bool names_several(const DataConfig& data) {
  return names_several(data.raw) || names_several(data.labels);
}

/// A few of the pulses that workers send.
constexpr double kShortestWatchdog = 0.02;

void read_infer(ConfigSection infer, ExperimentConfig& config, const ConfigNeeds& needs) {
  InferConfig& i = config.infer;
  i.raw = dataset(infer, "raw", needs.inference && (!config.data.raw || names_several(config.data)));
  i.output = dataset(infer, "output", needs.inference);
  if (!i.raw && !infer.has("raw") && !names_several(config.data)) i.raw = config.data.raw;
  i.checkpoint = infer.get<std::string>("checkpoint", "best");
  const std::int64_t tile = number_or_auto(infer, "tile", at_least(1));
  if (tile != 0) i.tile = Index3{1, tile, tile};
  i.block = shape(infer, "block");
  i.chunk = shape(infer, "chunk");
  const std::string precision = infer.choice("precision", "auto", {"auto", "float32", "bfloat16", "float16"});
  if (precision == "float32") i.precision = Precision::float32;
  if (precision == "bfloat16") i.precision = Precision::bfloat16;
  if (precision == "float16") i.precision = Precision::float16;
  read_result(infer, i);
  read_averaging(infer, i);
  read_normalisation(infer, i);
  i.threads = static_cast<int>(number_or_auto(infer, "threads", between(1, 4096)));
  i.reproducible = infer.get<bool>("reproducible", true);
  const std::string exact_tiles = infer.choice("exact_tiles", "auto", {"auto", "true", "false"});
  if (exact_tiles != "auto") i.exact_tiles = exact_tiles == "true" ? ExactTiles::yes : ExactTiles::no;
  if (i.exact_tiles == ExactTiles::yes && config.torchscript)
    infer.problem("exact_tiles", "is for Tessera's own networks, not model.torchscript: set it to false");
  i.max_retries = static_cast<int>(infer.get<std::int64_t>("max_retries", i.max_retries, between(0, 100)));
  i.watchdog_minutes = infer.get<double>("watchdog_minutes", i.watchdog_minutes, between(0, 100000));
  if (i.watchdog_minutes > 0 && i.watchdog_minutes < kShortestWatchdog) {
    infer.problem("watchdog_minutes", fmt::format("at least {}, or 0 for no watchdog", kShortestWatchdog));
  }
  i.memory_budget =
      number_or_auto(infer, "memory_budget_mib", between(16, 1 << 24)) * (std::int64_t{1} << 20);
}

void read_evaluate(ConfigSection evaluate, ExperimentConfig& config) {
  EvaluateConfig& e = config.evaluate;
  e.prediction = dataset(evaluate, "prediction");
  e.labels = dataset(evaluate, "labels");
  e.sections = sections(evaluate, "sections");
  e.thresholds = static_cast<int>(evaluate.get<std::int64_t>("thresholds", 11, between(2, 1001)));
  const bool own_labels = evaluate.has("labels") || names_several(config.data);
  e.invert_labels = evaluate.get<bool>("invert_labels", !own_labels && config.data.invert_labels);
  e.kind = evaluate.choice("kind", "auto", {"auto", "probability", "labels", "classes"});
  e.scores = evaluate.get<std::vector<std::string>>("scores", {"auto"});
  try {
    evaluation_scores(e.scores);
  } catch (const UsageError& error) {
    evaluate.problem("scores", error.what());
  }
  if (!e.prediction && !evaluate.has("prediction")) e.prediction = config.infer.output;
  if (!e.labels && !own_labels) e.labels = config.data.labels;
  if (!e.sections && !evaluate.has("sections")) e.sections = config.data.validation_sections;
}

}  // namespace

ExperimentConfig parse_experiment(const std::string& text, const std::string& file,
                                  const std::vector<std::string>& overrides, const ConfigNeeds& needs) {
  ConfigDocument document(text, file, overrides);
  ConfigSection root = document.root();
  ExperimentConfig config;
  config.name = root.require<std::string>("experiment");
  const bool named_well = !config.name.empty() && config.name.size() <= 100 && config.name[0] != '.' &&
                          config.name.find_first_of("/\\\n\t") == std::string::npos;
  if (!named_well && root.has("experiment"))
    root.problem("experiment", "the name of a folder is needed, without '/'");
  config.run_folder = root.get<std::string>("run_folder", "runs/" + config.name);
  config.device = root.choice("device", "auto", {"auto", "cpu", "cuda"});
  std::vector<ConfigSection> volumes = read_data(root.section("data"), config.data, needs.training);
  read_model(root.section("model"), config);
  read_train(root.section("train"), config.train, config.network());
  read_infer(root.section("infer"), config, needs);
  read_evaluate(root.section("evaluate"), config);
  config.slurm = read_slurm(root.section("slurm"));

  if (config.data.ignore_label && config.train.ignore_label &&
      config.data.ignore_label != config.train.ignore_label) {
    root.section("train").problem("ignore_label",
                                  fmt::format("is {}, data.ignore_label is {}: take one of them out",
                                              *config.train.ignore_label, *config.data.ignore_label));
  }
  config.train.trainer.samples.min_foreground = config.data.min_foreground;
  check_labels(volumes, config.data, config.model.classes, config.train.ignore_label);
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
