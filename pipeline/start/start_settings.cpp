#include "pipeline/start/start_settings.h"

#include <algorithm>
#include <cmath>

#include "workers/network/network_description.h"

namespace tessera {
namespace {

/// The outputs of configs/isbi2012.yaml and of the paper.
constexpr std::int64_t kCpuOutput = 292, kGpuOutput = 388;
/// Iterations below which a smaller network learns more, and above which a larger one does. On the ISBI-2012
/// stack 16 filters improve little beyond 3,000 iterations (docs/performance.md).
constexpr double kFewIterations = 500, kManyIterations = 15000;
/// What twice the filters cost in time, at most.
constexpr double kCostOfTwice = 4;
/// The part of the minutes that validations, checkpoints and the start take.
constexpr double kOverhead = 0.1;
/// The part of the minutes that validations take. More of them would cost iterations.
constexpr double kValidationShare = 0.03;

std::int64_t depth_for(std::int64_t side) {
  if (side >= 256) return 4;
  return side >= 96 ? 3 : 2;
}

/// The unit of the second digit of a count of at least 100; 1 below.
double second_digit(double count) {
  return count < 100 ? 1 : std::pow(10, std::floor(std::log10(count)) - 1);
}

}  // namespace

StartSettings first_settings(const StartFacts& facts, const StartWishes& wishes) {
  StartSettings s;
  s.paper = wishes.paper;
  s.gpu = wishes.gpu || facts.machine.gpus > 0;
  const Index3 section = facts.survey.labels ? facts.survey.found.covered.shape() : facts.survey.raw.shape;
  s.depth = wishes.paper ? 4 : depth_for(std::min(section.y, section.x));
  s.base_filters = s.gpu || s.paper ? 64 : 16;
  s.dropout = wishes.paper ? 0.5 : 0.2;
  s.batch = wishes.paper ? 1
            : s.gpu      ? 4 * std::max(1, facts.machine.gpus)
                         : std::clamp<std::int64_t>(facts.machine.cores, 2, 8);
  ModelConfig model;
  model.depth = static_cast<int>(s.depth);
  const NetworkGeometry geometry = geometry_of(model.description());
  const std::int64_t covering = geometry.input_side_for(std::max(section.y, section.x));
  s.tile = std::min(covering, geometry.input_side_for(s.gpu || s.paper ? kGpuOutput : kCpuOutput));
  s.tile_output = geometry.output_side(s.tile);
  s.elastic = std::clamp(std::round(static_cast<double>(s.tile_output) / 30), 1.0, 10.0);
  s.learning_rate = s.base_filters >= 64 && !s.paper ? 5e-4 : 1e-3;
  s.minutes = wishes.minutes.value_or(s.gpu ? 10 : s.paper ? 120 : 15);
  s.iterations = 20000;  // where nothing can be measured, the minutes end the training
  s.validate_every = 500;
  return s;
}

void set_iterations(StartSettings& s, double sample_s, double validation_s, int parallel) {
  s.sample_s = sample_s;
  const double iteration_s = sample_s * static_cast<double>(s.batch) /
                             std::min(static_cast<double>(s.batch), static_cast<double>(parallel));
  const double training_s = 60 * s.minutes * (1 - kOverhead);
  s.expected = std::max<std::int64_t>(1, std::llround(training_s / iteration_s));
  const double unit = second_digit(static_cast<double>(s.expected));
  s.expected = std::llround(std::round(static_cast<double>(s.expected) / unit) * unit);
  s.iterations = 2 * s.expected;
  const auto expected = static_cast<double>(s.expected);
  s.warm_up = std::min<std::int64_t>(50, s.expected / 10);
  const double validations =
      std::clamp(60 * s.minutes * kValidationShare / std::max(1e-6, validation_s), 1.0, 20.0);
  const double every = std::ceil(expected / std::floor(validations)), round = second_digit(every);
  s.validate_every = std::max<std::int64_t>(1, std::llround(std::ceil(every / round) * round));
  // The last quarter of the iterations, where the rate is below 0.15; configs/isbi2012.yaml averages 200.
  const double memory = std::clamp(expected / 4, 10.0, 200.0);
  s.average_decay = std::round((1 - 1 / memory) * 1000) / 1000;
}

std::optional<std::int64_t> better_filters(const StartSettings& s) {
  const auto iterations = static_cast<double>(s.expected);
  if (s.paper) return std::nullopt;
  if (iterations > kManyIterations && iterations / kCostOfTwice > kFewIterations && s.base_filters < 64)
    return 2 * s.base_filters;
  if (iterations < kFewIterations && s.base_filters > 8) return s.base_filters / 2;
  return std::nullopt;
}

}  // namespace tessera
