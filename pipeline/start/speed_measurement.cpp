#include "pipeline/start/speed_measurement.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

#include "io/base/clock.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/train/training_plan.h"
#include "workers/infer/tile_predictor.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/train/trainer.h"

namespace tessera {
namespace {

constexpr int kMostRounds = 10;
constexpr std::int64_t kMeasuredSections = 2;
/// What a core and a GPU do at least, in floating-point operations per second: for the choice of the first
/// tile only.
constexpr double kSlowCore = 1.5e10, kSlowGpu = 1e12;
/// A backward pass costs about two forward passes.
constexpr double kPassesOfTraining = 3;

double flop_of(const NetworkDescription& network, std::int64_t side) {
  return forward_flop(network, {1, side, side});
}

/// The largest legal side up to `side` that is expected to take at most `seconds`; the smallest one where
/// none is.
std::int64_t affordable_side(const NetworkDescription& network, std::int64_t side, double passes,
                             const Device& device, double seconds) {
  const NetworkGeometry geometry = geometry_of(network);
  const double speed = device.cuda ? kSlowGpu : kSlowCore * device.threads;
  const std::int64_t smallest = std::min(side, geometry.input_side_for(geometry.alignment));
  for (std::int64_t one = side; one > smallest; --one) {
    if (geometry.is_legal_input(one) && passes * flop_of(network, one) / speed <= seconds) return one;
  }
  return smallest;
}

/// Runs `step` for about `budget_s`; the first time is a warm-up where there is time for another. Returns the
/// least of the others in seconds, which other programs on the machine disturb least, and their number.
std::pair<double, int> least_time(double budget_s, const std::function<void()>& step) {
  std::vector<double> times;
  const double begin_s = seconds_now();
  do {
    const double round_s = seconds_now();
    step();
    times.push_back(seconds_now() - round_s);
  } while (static_cast<int>(times.size()) <= kMostRounds &&
           seconds_now() - begin_s + times.back() < budget_s);
  if (times.size() > 1) times.erase(times.begin());
  return {*std::ranges::min_element(times), static_cast<int>(times.size())};
}

/// The first volume that is trained on, with its first sections.
std::vector<AnnotatedVolume> small_part(const std::vector<AnnotatedVolume>& volumes) {
  AnnotatedVolume part = *std::ranges::find_if(
      volumes, [](const AnnotatedVolume& one) { return one.train_sections().has_value(); });
  Sections& sections = *part.said.train_sections;
  sections.end = std::min(sections.end, sections.begin + kMeasuredSections);
  part.said.sampling_weight.reset();
  return {part};
}

/// Voxels without a pattern, so that no arithmetic is cheaper than usual.
void fill_with_noise(VoxelBuffer& raw) {
  std::uint32_t state = 1;
  with_voxel_type(raw.type, [&](auto zero) {
    using T = decltype(zero);
    for (T& voxel : raw.as<T>()) {
      state = state * 1664525U + 1013904223U;  // Numerical Recipes, 2nd edition, section 7.1
      voxel = static_cast<T>(state >> 24U);
    }
  });
}

}  // namespace

TrainingSpeed measure_training(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                               std::int64_t tile_side, const Device& device, double budget_s) {
  const NetworkDescription network = config.network();
  const std::int64_t context = context_sections(network.in_channels, volumes.front().raw.channels);
  TrainerOptions options = config.train.trainer;
  options.global_batch = 1;
  options.precision = training_precision(config, device.cuda);
  options.samples.tile_side = affordable_side(network, tile_side, kPassesOfTraining, device, budget_s / 3);
  const TrainingSet data(
      training_set_options(config, small_part(volumes), context, options.samples.tile_side, device.threads));
  const Communicator alone = Communicator::alone();
  Trainer trainer(make_network(network, options.samples.seed), data, options, device, alone);
  const auto [seconds, count] = least_time(budget_s, [&] { trainer.step(StopWish::none); });
  const double larger = flop_of(network, tile_side) / flop_of(network, options.samples.tile_side);
  return {count, options.samples.tile_side, seconds * larger};
}

PredictionSpeed measure_prediction(const ExperimentConfig& config, const VolumeInfo& raw, const Index3& tile,
                                   Averaging averaging, const Device& device, double budget_s) {
  const NetworkDescription network = config.network();
  const std::int64_t context = context_sections(network.in_channels, raw.channels);
  const std::int64_t largest = std::max(tile.y, tile.x);
  const double versions = averaging == Averaging::none ? 1 : 8;
  const std::int64_t side = affordable_side(network, largest, versions, device, budget_s / 2);
  PredictorOptions options;
  options.normalisation = {128, 40};
  options.precision = config.infer.precision.value_or(device.cuda ? Precision::bfloat16 : Precision::float32);
  options.device = device;
  options.exact_tiles = config.infer.exact_tiles;
  options.classes = config.infer.classes;
  options.labels = config.infer.labels;
  options.output_type = config.infer.type;
  options.averaging = averaging;
  const TilePredictor predictor(make_network(network, config.train.trainer.samples.seed), options);
  const TileDemand demand{.precision = options.precision, .cuda = device.cuda, .averaging = averaging};
  // A volume of one tile: what is beyond it is mirrored.
  const NetworkGeometry geometry = geometry_of(network);
  const std::int64_t core = std::max(geometry.alignment, geometry.core_side(side));
  const Index3 shape{2 * context + 1, core, core};
  const TileGrid grid = make_tile_grid(predictor.traits(), shape, {1, side, side}, context, demand);
  const Box block{{context, 0, 0}, {context + 1, core, core}};
  const std::vector<Tile> tiles = grid.tiles_of(block);
  const Box held = raw_box_for(tiles, shape);
  VoxelBuffer voxels(raw.type, held.shape(), raw.channels);
  fill_with_noise(voxels);
  double pixels = 0;
  for (const Tile& one : tiles)
    pixels += static_cast<double>(one.input.shape().y * one.input.shape().x);
  const auto [seconds, count] = least_time(
      budget_s, [&] { predictor.predict(voxels, held, shape, tiles, block, [](std::int64_t) {}); });
  // Operations per pixel depend on the side: the convolutions of a smaller tile have more margin.
  const double per_pixel = flop_of(network, side) / (static_cast<double>(side) * static_cast<double>(side));
  const double planned =
      flop_of(network, largest) / (static_cast<double>(largest) * static_cast<double>(largest));
  return {count, side, seconds / pixels * planned / per_pixel};
}

}  // namespace tessera
