#include "pipeline/config/train_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "pipeline/config/config_values.h"
#include "workers/network/layer_choice.h"

namespace tessera {
namespace {

void read_optimizer(ConfigSection& train, TrainConfig& config) {
  OptimizerOptions& o = config.trainer.optimizer;
  o.kind = train.choice({"optimizer",
                         "The method that steps the weights. docs/training.md has the formulas.",
                         {.example = "adam", .related = "train.learning_rate train.momentum train.beta1"}},
                        OptimizerOptions::Kind::sgd);
  o.learning_rate =
      train.get<double>({"learning_rate",
                         "The full learning rate. A schedule reduces it.",
                         {.example = "0.0005", .related = "train.schedule train.scale_learning_rate"}},
                        o.learning_rate, above(0));
  config.trainer.scale_learning_rate =
      train.get<bool>({"scale_learning_rate",
                       "true: the learning rate is that of one sample and is multiplied by global_batch.",
                       {.example = "true", .related = "train.learning_rate train.global_batch"}},
                      false);
  o.momentum = train.get<double>({"momentum",
                                  "Of sgd: the share of the velocity that each step keeps.",
                                  {.example = "0.9", .related = "train.optimizer"}},
                                 o.momentum, between(0, 0.9999));
  o.beta1 = train.get<double>({"beta1",
                               "Of adam and adamw: the decay of the gradient's mean.",
                               {.example = "0.95", .related = "train.optimizer"}},
                              o.beta1, between(0, 0.9999));
  o.beta2 = train.get<double>({"beta2",
                               "Of adam and adamw: the decay of the squared gradient's mean.",
                               {.example = "0.99", .related = "train.optimizer"}},
                              o.beta2, between(0, 0.999999));
  o.weight_decay = train.get<double>({"weight_decay",
                                      "sgd, adam: this times the weights is added to the gradient. adamw: "
                                      "this times the rate and the weights is "
                                      "subtracted from the weights.",
                                      {.example = "0.0001", .related = "train.optimizer"}},
                                     0, at_least(0));
  config.trainer.clip_norm =
      train.get<double>({"clip_norm",
                         "A gradient with a larger Euclidean norm is scaled down to this norm. 0: never.",
                         {.example = "1"}},
                        0, at_least(0));
  config.trainer.average_decay = train.get<double>({"average_decay",
                                                    "The decay of a moving average of the weights, which "
                                                    "then predicts in place of the weights. 0: no average.",
                                                    {.example = "0.999"}},
                                                   0, between(0, 0.9999999));
}

void read_schedule(ConfigSection schedule, TrainConfig& config) {
  LearningRateSchedule& s = config.trainer.schedule;
  s.kind = schedule.choice(
      {"kind", "The form of the schedule. docs/training.md has the formulas.", {.example = "cosine"}},
      LearningRateSchedule::Kind::constant);
  s.iterations = config.iterations;
  s.warm_up = schedule.get<std::int64_t>(
      {"warm_up",
       "Iterations of a linear rise to the full rate, at the start of the training.",
       {.example = "200", .related = "train.iterations"}},
      0, at_least(0));
  if (s.warm_up > 0 && s.warm_up >= config.iterations) {
    schedule.problem("warm_up",
                     fmt::format("{} iterations of warm-up leave nothing of the {} of train.iterations",
                                 s.warm_up, config.iterations));
  }
  s.step_every = schedule.get<std::int64_t>({"step_every",
                                             "Of kind step: iterations from one step to the next.",
                                             {.example = "500", .related = "train.schedule.step_factor"}},
                                            s.step_every, at_least(1));
  s.step_factor = schedule.get<double>({"step_factor",
                                        "Of kind step: the factor of the rate at each step.",
                                        {.example = "0.5", .related = "train.schedule.step_every"}},
                                       s.step_factor, between(1e-9, 1));
  s.power = schedule.get<double>(
      {"power", "Of kind polynomial: the exponent of the remaining share of the training.", {.example = "2"}},
      s.power, between(0.01, 100));
  s.floor =
      schedule.get<double>({"floor",
                            "Of kinds polynomial and cosine: the final rate, as a share of the full one.",
                            {.example = "0.01"}},
                           0, between(0, 1));
}

/// Notes a tile that is not a legal input of the network.
void read_tile(ConfigSection& train, TrainConfig& config, const NetworkGeometry& geometry) {
  const std::int64_t tile = number_or_auto(train,
                                           {"tile",
                                            "The side of a sample's input in pixels. auto: 572 (same "
                                            "padding: 384), or what covers a smaller section.",
                                            {.example = "380", .related = "model.depth infer.tile"}},
                                           at_least(1));
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
  t.reproducible = train.get<bool>({"reproducible",
                                    "true: the same bits for any number of workers with the same threads "
                                    "each. Gradients are then sent after all "
                                    "computation.",
                                    {.example = "true", .related = "train.seed train.wire"}},
                                   false);
  t.wire = train.choice({"wire",
                         "The type of gradients when they are sent. bfloat16: half the bytes, rounded twice.",
                         {.example = "bfloat16", .related = "train.reproducible"}},
                        Wire::float32);
  t.nccl = train.get<bool>({"nccl",
                            "On GPUs. true: gradients are sent by NCCL where LibTorch includes it; this "
                            "needs wire: float32 and not "
                            "reproducible. false: through the host's memory, by MPI.",
                            {.example = "false", .related = "train.cuda_aware_mpi train.wire"}},
                           true);
  t.cuda_aware_mpi = train.get<bool>({"cuda_aware_mpi",
                                      "On GPUs without NCCL. true: MPI sums in the devices' memory; an error "
                                      "where this MPI was built without CUDA.",
                                      {.example = "true", .related = "train.nccl train.watchdog_minutes"}},
                                     false);
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
  t.sampling = train.choice(
      {"samples_on",
       "Where samples are made. host: by prefetch_threads. device: where the network is; it then holds the "
       "annotated "
       "voxels. auto: the device on CUDA, for up to 8 GiB or an eighth of its memory; else the host.",
       {.example = "host", .related = "train.prefetch_threads"}},
      SamplingPlace::automatic);
  t.samples_at_once =
      number_or_auto(train,
                     {"samples_at_once",
                      "A worker's samples that go through the network together. auto: 1 on the CPU, on CUDA "
                      "what fits 24 GiB or half "
                      "of its memory. Always 1 with reproducible and with batch normalisation.",
                      {.example = "4", .related = "train.global_batch train.reproducible model.batch_norm"}},
                     between(1, 65536));
  if (t.samples_at_once > 1 && (t.reproducible || batch_norm)) {
    train.problem("samples_at_once",
                  t.reproducible
                      ? "train.reproducible sums sample by sample: leave it at auto, or reproducible at false"
                      : "batch normalisation takes the statistics of each sample: leave it at auto");
  }
}

/// Changes of place, all in one resampling.
void read_geometric_augmentation(ConfigSection& augmentation, AugmentationOptions& a) {
  a.rotate = augmentation.get<bool>({"rotate", "Rotate by multiples of 90 degrees.", {.example = "false"}},
                                    a.rotate);
  a.mirror = augmentation.get<bool>(
      {"mirror", "Mirror along x; together with rotate, also along y.", {.example = "false"}}, a.mirror);
  a.elastic = augmentation.get<double>({"elastic",
                                        "Deform: the standard deviation in pixels of random displacements at "
                                        "a 3 x 3 grid over the tile, bicubic "
                                        "between. Ronneberger et al. 2015 use 10.",
                                        {.example = "10"}},
                                       a.elastic, between(0, 1000));
  a.rotation = augmentation.get<double>(
      {"rotation", "Rotate by any angle up to this many degrees, in both directions.", {.example = "15"}},
      a.rotation, between(0, 180));
  a.scaling = augmentation.get<double>(
      {"scaling", "Scale by a factor between 1 - this and 1 + this.", {.example = "0.1"}}, a.scaling,
      between(0, 0.9));
  a.shift = augmentation.get<double>(
      {"shift", "Shift along y and x by up to this many pixels, fractions too.", {.example = "10"}}, a.shift,
      between(0, 10000));
}

void read_grey_augmentation(ConfigSection& augmentation, AugmentationOptions& a) {
  a.contrast = augmentation.get<double>(
      {"contrast", "Multiply grey values by a factor between 1 - this and 1 + this.", {.example = "0.1"}},
      a.contrast, between(0, 1));
  a.brightness = augmentation.get<double>(
      {"brightness",
       "Add an offset of up to this many standard deviations of the raw volume, up or down.",
       {.example = "0.1"}},
      a.brightness, between(0, 10));
  a.noise = augmentation.get<double>(
      {"noise", "Add Gaussian noise of this many standard deviations of the raw volume.", {.example = "0.1"}},
      a.noise, between(0, 10));
  a.gamma = augmentation.get<double>(
      {"gamma",
       "Raise grey values, scaled to 0 to 1 over the sample, to a power between exp(-this) and exp(this).",
       {.example = "0.3"}},
      a.gamma, between(0, 3));
  a.blur = augmentation.get<double>(
      {"blur", "Blur by a Gaussian with a standard deviation of up to this many pixels.", {.example = "1"}},
      a.blur, between(0, 50));
}

/// Defects of serial sections.
void read_section_augmentation(ConfigSection& augmentation, AugmentationOptions& a) {
  a.missing_section = augmentation.get<double>(
      {"missing_section",
       "The probability that a neighbouring section is black. Needs model.in_channels with neighbours.",
       {.example = "0.05", .related = "model.in_channels"}},
      a.missing_section, between(0, 1));
  a.misaligned_section = augmentation.get<double>(
      {"misaligned_section",
       "The probability that a neighbouring section is shifted. Needs model.in_channels with neighbours.",
       {.example = "0.05", .related = "train.augmentation.misalignment model.in_channels"}},
      a.misaligned_section, between(0, 1));
  a.misalignment =
      augmentation.get<std::int64_t>({"misalignment",
                                      "The largest shift of a misaligned section in pixels, along y and x.",
                                      {.example = "16", .related = "train.augmentation.misaligned_section"}},
                                     a.misalignment, between(0, 1000));
  a.low_contrast_section =
      augmentation.get<double>({"low_contrast_section",
                                "The probability that a section keeps only a tenth of its contrast.",
                                {.example = "0.05"}},
                               a.low_contrast_section, between(0, 1));
}

void read_weight_map(ConfigSection weight_map, TrainConfig& config) {
  config.trainer.samples.class_balance =
      weight_map.get<bool>({"class_balance",
                            "true: w_c gives every class the same total weight. false: w_c is 1.",
                            {.example = "false"}},
                           true);
  config.weight_map.w0 = weight_map.get<double>(
      {"w0",
       "The weight of the borders between cells, on background. Ronneberger et al. 2015 use 10.",
       {.example = "10", .related = "train.weight_map.sigma data.label_kind"}},
      config.weight_map.w0, between(0, 1e6));
  config.weight_map.sigma = weight_map.get<double>(
      {"sigma", "The width of these borders in pixels.", {.example = "3", .related = "train.weight_map.w0"}},
      config.weight_map.sigma, between(0.01, 1e6));
}

/// Validations and checkpoints.
void read_validation(ConfigSection& train, TrainConfig& config) {
  config.validate_every = train.get<std::int64_t>(
      {"validate_every",
       "Iterations from one validation to the next.",
       {.example = "100", .related = "data.validation_sections train.validation_metric"}},
      200, at_least(1));
  config.validation_metric = train.choice({"validation_metric",
                                           "The validation score that decides which checkpoint is the best.",
                                           {.example = "rand", .related = "infer.checkpoint train.patience"}},
                                          ValidationMetric::pixel_error);
  config.patience = train.get<std::int64_t>(
      {"patience",
       "The number of validations without a new best that end the training. 0: any number.",
       {.example = "10", .related = "train.validate_every data.validation_sections"}},
      0, at_least(0));
  config.checkpoint_every = train.get<std::int64_t>({"checkpoint_every",
                                                     "Iterations from one checkpoint to the next.",
                                                     {.example = "100", .related = "train.keep_checkpoints"}},
                                                    200, at_least(1));
  config.checkpoint_minutes =
      train.get<double>({"checkpoint_minutes",
                         "The longest time from one checkpoint to the next. 0: no limit.",
                         {.example = "2", .related = "train.checkpoint_every"}},
                        config.checkpoint_minutes, at_least(0));
  config.keep_checkpoints =
      train.get<std::int64_t>({"keep_checkpoints",
                               "The number of newest checkpoints that are kept beside the best one.",
                               {.example = "1", .related = "train.checkpoint_every"}},
                              3, between(1, 100000));
  config.watchdog_minutes =
      silence_minutes(train, " With cuda_aware_mpi it is also the longest time that an iteration may take.");
}

/// Where the weights come from, and which of them are trained.
void read_weights(ConfigSection& train, TrainConfig& config, const NetworkDescription& network) {
  config.initial_weights = train.get<std::string>(
      {"initial_weights",
       "A trained network to start from: a checkpoint, or a run folder, of which the best checkpoint is "
       "taken. Layers that agree by name and shape are taken; the others are new. A resumed training does "
       "not read it again.",
       {.example = "runs/other/checkpoints/best.h5", .fallback = "none", .related = "train.freeze"}},
      "");
  const auto patterns = train.get<std::vector<std::string>>(
      {"freeze",
       "Layers whose weights stay as they are: encoder (all before the first up-convolution), or names with "
       "wildcards.",
       {.example = "[encoder]", .fallback = "none", .related = "train.initial_weights"}},
      {});
  try {
    config.trainer.frozen = parameters_of_layers(network, patterns);
  } catch (const UsageError& error) {
    train.problem("freeze", error.what());
    return;
  }
  const auto parameters = std::ranges::count_if(tensors_of(network), &TensorDescription::is_parameter);
  if (std::ssize(config.trainer.frozen) == parameters)
    train.problem("freeze", "names all layers: nothing is left to train");
}

}  // namespace

TrainConfig read_train(ConfigSection train, const NetworkDescription& network) {
  TrainConfig config;
  TrainerOptions& t = config.trainer;
  config.iterations =
      train.get<std::int64_t>({"iterations",
                               "The number of optimizer steps.",
                               {.example = "1000", .related = "train.minutes train.patience"}},
                              config.iterations, at_least(1));
  config.minutes = train.get<double>({"minutes",
                                      "The time limit of the training, resumed parts included. 0: no limit.",
                                      {.example = "15", .related = "train.iterations train.schedule"}},
                                     0, at_least(0));
  t.global_batch = train.get<std::int64_t>(
      {"global_batch",
       "The samples of one iteration. The workers share them.",
       {.example = "8", .related = "train.samples_at_once train.scale_learning_rate"}},
      1, between(1, 65536));
  read_tile(train, config, geometry_of(network));
  read_weights(train, config, network);
  read_optimizer(train, config);
  read_schedule(
      train.section({"schedule",
                     "The learning rate over the iterations, or over the minutes if those end first.",
                     {.related = "train.learning_rate train.iterations train.minutes"}}),
      config);
  read_weight_map(
      train.section(
          {"weight_map",
           "The weight of each pixel in the loss: w(x) = w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)), with the "
           "distances d1 and d2 to the two nearest cells."}),
      config);
  t.dice_weight = train.get<double>(
      {"dice_weight", "The weight of a soft Dice term beside the cross-entropy.", {.example = "1"}}, 0,
      between(0, 1e6));
  config.ignore_label =
      train.optional<LabelId>({"ignore_label",
                               "data.ignore_label of the volumes that have none.",
                               {.example = "99", .fallback = "none", .related = "data.ignore_label"}});
  t.samples.seed = static_cast<std::uint64_t>(
      train.get<std::int64_t>({"seed",
                               "The seed of the weights, the samples, the augmentation and the dropout.",
                               {.example = "2", .related = "train.reproducible"}},
                              1, at_least(0)));
  config.threads =
      static_cast<int>(number_or_auto(train,
                                      {"threads",
                                       "CPU threads of each worker. auto: the cores of the rank.",
                                       {.example = "4", .related = "infer.threads"}},
                                      between(1, 4096)));
  t.prefetch_threads = static_cast<int>(
      train.get<std::int64_t>({"prefetch_threads",
                               "Threads of each worker that make samples in advance. 0: none.",
                               {.example = "2", .related = "train.samples_on train.threads"}},
                              1, between(0, 64)));
  read_exchange(train, t);  // before what depends on `reproducible`
  read_sampling(train, t, network.has_batch_statistics());
  config.report_every = number_or_auto(train,
                                       {"report_every",
                                        "Iterations whose results are read and written to metrics.csv "
                                        "together. Every validation and checkpoint reads "
                                        "them too. auto: 1 on the CPU, 20 on CUDA.",
                                        {.example = "100"}},
                                       at_least(1));
  config.precision =
      train.choice_or_auto<Precision>({"precision",
                                       "The type of activations and of their gradients; weights, gradients "
                                       "and sums stay float32. auto: bfloat16 where "
                                       "the devices of all workers are faster in it.",
                                       {.example = "bfloat16", .related = "infer.precision"}},
                                      {Precision::float32, Precision::bfloat16});
  read_validation(train, config);
  ConfigSection augmentation = train.section({"augmentation",
                                              "Random changes of each sample. 0 or false: none of this kind.",
                                              {.related = "train.seed"}});
  read_geometric_augmentation(augmentation, t.samples.augmentation);
  read_grey_augmentation(augmentation, t.samples.augmentation);
  read_section_augmentation(augmentation, t.samples.augmentation);
  return config;
}

}  // namespace tessera
