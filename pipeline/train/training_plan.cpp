#include "pipeline/train/training_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "pipeline/run/bytes_pair.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/infer/tile_choice.h"

namespace tessera {
namespace {

/// The largest automatic tile: the paper's input side; for 'same' padding about the paper's output side.
constexpr std::int64_t kAutomaticTile = 572, kAutomaticSameTile = 384;
/// Bytes for the activations of one tile of a validation.
constexpr std::int64_t kValidationBudget = std::int64_t{2} << 30;

/// The paper's tile, or the smallest whose output covers a smaller section.
std::int64_t choose_side(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes) {
  if (!config.train.tile_auto) return config.train.trainer.samples.tile_side;
  const NetworkGeometry geometry = geometry_of(config.network());
  std::int64_t section = 1;
  for (const AnnotatedVolume& one : volumes) {
    const PixelBounds bounds = one.bounds();
    if (one.train_sections() || volumes.size() == 1)
      section = std::max({section, bounds.y_end - bounds.y_begin, bounds.width()});
  }
  if (geometry.padding == Padding::same) {
    return round_up(std::min<std::int64_t>(section, kAutomaticSameTile), geometry.alignment);
  }
  std::int64_t largest = std::max(kAutomaticTile, geometry.input_side_for(geometry.alignment));
  while (!geometry.is_legal_input(largest))
    --largest;
  return std::min(largest, geometry.input_side_for(section));
}

void require_memory(const TrainingPlan& plan, const ExperimentConfig& config, std::int64_t available) {
  if (plan.memory_per_worker() <= available) return;
  const auto [needed, there] = bytes_pair(plan.memory_per_worker(), available);
  throw UsageError(
      fmt::format("training needs about {} per worker ({} of it for the annotated voxels), but {} are "
                  "available to each: lower "
                  "train.tile (now {}) or model.base_filters (now {}), train on fewer sections or a region, "
                  "start fewer workers per "
                  "node, or ask for more memory",
                  needed, bytes_text(plan.data_bytes), there, plan.tile_side, config.model.base_filters));
}

}  // namespace

Precision training_precision(const ExperimentConfig& config, bool cuda) {
  return config.train.precision.value_or(is_faster_in_bfloat16(config.network(), cuda) ? Precision::bfloat16
                                                                                       : Precision::float32);
}

TrainingPlan plan_training(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                           const TrainingResources& resources) {
  const NetworkDescription described = config.network();
  TrainingPlan plan;
  plan.context = context_sections(described.in_channels, volumes.front().raw.channels);
  plan.tile_side = choose_side(config, volumes);
  plan.data_bytes = held_bytes(config, volumes, plan.context, plan.tile_side);
  const std::int64_t average_bytes =
      config.train.trainer.average_decay > 0 ? 4 * parameter_count(described) : 0;
  plan.training_bytes =
      training_memory(described, plan.tile_side, plan.tile_side, resources.precision, resources.cuda) +
      average_bytes;
  require_memory(plan, config, resources.memory);
  // At least what the smallest tile needs; whether it fits is checked below, with the rest of the memory.
  const NetworkTraits network(described);
  const std::int64_t smallest = network.geometry.input_side_for(network.geometry.alignment);
  plan.validation_budget =
      std::max(kValidationBudget, network.tile_memory(smallest, smallest, Precision::float32, false));
  for (const AnnotatedVolume& one : volumes) {
    if (!one.validation_sections()) continue;
    const TileDemand demand{.budget = plan.validation_budget};
    const PixelBounds bounds = one.bounds();
    const Index3 section{1, bounds.y_end - bounds.y_begin, bounds.width()};
    const Index3 tile = choose_tile(network, section, one.raw.shape, demand);
    // The trained network, its gradient and optimizer stay. In addition: the copy that predicts (also the
    // average and the network that takes it), and the raw voxels, probabilities and labels of one section.
    const std::int64_t pixel = one.raw.channels * size_of(one.raw.type) + 8 + size_of(one.labels.type) + 2;
    plan.validation_bytes =
        std::max(plan.validation_bytes, memory_of_tile(network, tile, one.raw.shape, demand) +
                                            20 * parameter_count(described) + 2 * average_bytes +
                                            pixel * volume_of(section));
  }
  require_memory(plan, config, resources.memory);
  return plan;
}

std::string idle_workers_doubt(const ExperimentConfig& config, std::int64_t workers) {
  const std::int64_t batch = config.train.trainer.global_batch;
  if (workers <= batch) return {};
  return fmt::format(
      "{} workers share a global batch of {}: {} of them have nothing to do; raise train.global_batch",
      workers, batch, workers - batch);
}

std::string plan_text(const TrainingPlan& plan, const NetworkDescription& network) {
  return fmt::format("tile {} (output {}), memory per worker about {}, {} of it for the annotated voxels",
                     plan.tile_side, geometry_of(network).output_side(plan.tile_side),
                     bytes_text(plan.memory_per_worker()), bytes_text(plan.data_bytes));
}

}  // namespace tessera
