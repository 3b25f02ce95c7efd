#pragma once

#include <cstdint>

#include "io/base/enum_names.h"

namespace tessera {

/// The learning rate over the course of a training.
struct LearningRateSchedule {
  enum class Kind { constant, step, polynomial, cosine };
  Kind kind = Kind::constant;
  std::int64_t iterations = 1;     ///< the length of the whole training
  std::int64_t warm_up = 0;        ///< iterations of a linear rise to the full rate; fewer than `iterations`
  std::int64_t step_every = 1000;  ///< step: iterations
  double step_factor = 0.1;        ///< step: the factor at each step
  double power = 0.9;              ///< polynomial: Chen et al. 2018
  double floor = 0;                ///< polynomial, cosine: the final rate, as a share of the full one
};
constexpr auto enum_names(LearningRateSchedule::Kind) {
  return std::to_array<EnumName<LearningRateSchedule::Kind>>(
      {{LearningRateSchedule::Kind::constant, "constant"},
       {LearningRateSchedule::Kind::step, "step"},
       {LearningRateSchedule::Kind::polynomial, "polynomial"},
       {LearningRateSchedule::Kind::cosine, "cosine"}});
}

/// The learning rate of an iteration (counted from 1), as a share of the full one. With W iterations of
/// warm-up, iteration t <= W has t / W (Goyal et al. 2017). After it, with i = max(t - 1, elapsed_share
/// iterations) and p = (i - W) / (iterations - W), within [0, 1]: constant 1; step step_factor^floor(i /
/// step_every); polynomial floor + (1 - floor) (1 - p)^power (Liu et al. 2015, Chen et al. 2018); cosine
/// floor + (1 - floor) (1 + cos(pi p)) / 2 (Loshchilov and Hutter 2017, eq. 5, without restarts).
/// `elapsed_share`: the part of the training's time that is over; 0 without a time limit.
double learning_rate_factor(const LearningRateSchedule& schedule, std::int64_t iteration,
                            double elapsed_share);

}  // namespace tessera
