#include "workers/train/learning_rate_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tessera {

double learning_rate_factor(const LearningRateSchedule& schedule, std::int64_t iteration,
                            double elapsed_share) {
  if (iteration <= schedule.warm_up) {
    return static_cast<double>(iteration) / static_cast<double>(schedule.warm_up);
  }
  const auto all = static_cast<double>(schedule.iterations), warm_up = static_cast<double>(schedule.warm_up);
  const double reached = std::max(static_cast<double>(iteration - 1), elapsed_share * all);
  const double progress = std::clamp((reached - warm_up) / std::max(1.0, all - warm_up), 0.0, 1.0);
  const auto above_floor = [&](double share) { return schedule.floor + (1 - schedule.floor) * share; };
  switch (schedule.kind) {
    case LearningRateSchedule::Kind::step:
      return std::pow(schedule.step_factor, std::floor(reached / static_cast<double>(schedule.step_every)));
    case LearningRateSchedule::Kind::polynomial:
      return above_floor(std::pow(1 - progress, schedule.power));
    case LearningRateSchedule::Kind::cosine:
      return above_floor((1 + std::cos(std::numbers::pi * progress)) / 2);
    case LearningRateSchedule::Kind::constant:
      break;
  }
  return 1;
}

}  // namespace tessera
