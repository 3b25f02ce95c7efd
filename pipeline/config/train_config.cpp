#include "pipeline/config/train_config.h"

#include <fmt/format.h>

#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

void read_optimizer(ConfigSection& train, TrainConfig& config) {
  OptimizerOptions& o = config.trainer.optimizer;
  o.kind = train.choice("optimizer", OptimizerOptions::Kind::sgd);
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
  LearningRateSchedule& s = config.trainer.schedule;
  s.kind = schedule.choice("kind", LearningRateSchedule::Kind::constant);
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

/// Notes a tile that is not a legal input of the network.
void read_tile(ConfigSection& train, TrainConfig& config, const NetworkGeometry& geometry) {
  const std::int64_t tile = number_or_auto(train, "tile", at_least(1));
  config.tile_auto = tile == 0;
  if (tile == 0) return;
  config.trainer.samples.tile_side = tile;
  if (!geometry.is_legal_input(tile)) {
    train.problem("tile", fmt::format("a tile of {} pixels does not fit the network: {}", tile,
                                      geometry.legal_sides_text(tile)));
  }
}

/// How gradients are summed over the workers.
void read_exchange(ConfigSection& train, TrainerOptions& t) {
  t.reproducible = train.get<bool>("reproducible", false);
  t.wire = train.choice("wire", Wire::float32);
  t.nccl = train.get<bool>("nccl", true);
  t.cuda_aware_mpi = train.get<bool>("cuda_aware_mpi", false);
  if (t.cuda_aware_mpi && (t.reproducible || t.wire == Wire::bfloat16)) {
    train.problem("cuda_aware_mpi",
                  "sums float32 in the devices' memory, in MPI's order: leave wire at float32 and "
                  "reproducible at false, or cuda_aware_mpi at false");
  }
  if (t.reproducible && t.wire == Wire::bfloat16) {
    train.problem("wire",
                  "train.reproducible sums in float32, in a fixed order: leave wire at float32, or "
                  "reproducible at false");
  }
}

/// Where samples are made, and how many go through the network together.
void read_sampling(ConfigSection& train, TrainerOptions& t, bool batch_norm) {
  t.sampling = train.choice("samples_on", SamplingPlace::automatic);
  t.samples_at_once = number_or_auto(train, "samples_at_once", between(1, 65536));
  if (t.samples_at_once > 1 && (t.reproducible || batch_norm)) {
    train.problem("samples_at_once",
                  t.reproducible
                      ? "train.reproducible sums sample by sample: leave it at auto, or reproducible at false"
                      : "batch normalisation takes the statistics of each sample: leave it at auto");
  }
}

void read_augmentation(ConfigSection augmentation, AugmentationOptions& a) {
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

}  // namespace

TrainConfig read_train(ConfigSection train, const NetworkDescription& network) {
  TrainConfig config;
  TrainerOptions& t = config.trainer;
  config.iterations = train.get<std::int64_t>("iterations", config.iterations, at_least(1));
  config.minutes = train.get<double>("minutes", 0, at_least(0));
  t.global_batch = train.get<std::int64_t>("global_batch", 1, between(1, 65536));
  read_tile(train, config, geometry_of(network));
  read_optimizer(train, config);
  read_schedule(train.section("schedule"), config);
  config.precision = train.choice_or_auto<Precision>("precision", {Precision::float32, Precision::bfloat16});
  read_exchange(train, t);
  read_sampling(train, t, network.has_batch_statistics());
  config.report_every = number_or_auto(train, "report_every", at_least(1));
  ConfigSection weight_map = train.section("weight_map");
  t.samples.class_balance = weight_map.get<bool>("class_balance", true);
  config.weight_map.w0 = weight_map.get<double>("w0", config.weight_map.w0, between(0, 1e6));
  config.weight_map.sigma = weight_map.get<double>("sigma", config.weight_map.sigma, between(0.01, 1e6));
  t.dice_weight = train.get<double>("dice_weight", 0, between(0, 1e6));
  config.ignore_label = train.optional<LabelId>("ignore_label");
  t.samples.seed = static_cast<std::uint64_t>(train.get<std::int64_t>("seed", 1, at_least(0)));
  config.threads = static_cast<int>(number_or_auto(train, "threads", between(1, 4096)));
  t.prefetch_threads = static_cast<int>(train.get<std::int64_t>("prefetch_threads", 1, between(0, 64)));
  config.validate_every = train.get<std::int64_t>("validate_every", 200, at_least(1));
  config.validation_metric = train.choice("validation_metric", ValidationMetric::pixel_error);
  config.patience = train.get<std::int64_t>("patience", 0, at_least(0));
  config.checkpoint_every = train.get<std::int64_t>("checkpoint_every", 200, at_least(1));
  config.watchdog_minutes = silence_minutes(train, "watchdog_minutes");
  config.keep_checkpoints = train.get<std::int64_t>("keep_checkpoints", 3, between(1, 100000));
  read_augmentation(train.section("augmentation"), t.samples.augmentation);
  return config;
}

}  // namespace tessera
