#include "pipeline/train/best_validation.h"

#include <fmt/format.h>

#include <cmath>

#include "workers/network/network_checkpoint.h"

namespace tessera {
namespace {

constexpr const char* kWithoutBest = "validations_without_best";

/// The metric's name is part of the key, so that a score is never read as one by another metric.
std::string key_of(ValidationMetric metric) {
  return "best_validation_" + name_of(metric);
}

std::optional<double> stored_best(ValidationMetric metric, const Checkpoint& checkpoint) {
  const auto found = checkpoint.numbers.find(key_of(metric));
  if (found == checkpoint.numbers.end() || found->second.empty()) return std::nullopt;
  return found->second[0];
}

double score_of(const ValidationScores& scores, ValidationMetric metric) {
  switch (metric) {
    case ValidationMetric::iou:
      return scores.iou;
    case ValidationMetric::rand:
      return scores.rand_f;
    case ValidationMetric::pixel_error:
      break;
  }
  return scores.pixel_error;
}

}  // namespace

BestValidation::BestValidation(ValidationMetric metric, const Checkpoint& resumed)
    : metric_(metric), best_(stored_best(metric, resumed)) {
  const auto without_best = resumed.counters.find(kWithoutBest);
  if (best_ && without_best != resumed.counters.end()) without_best_ = without_best->second;
}

bool BestValidation::hear(const ValidationScores& scores) {
  const double score = score_of(scores, metric_);
  if (std::isnan(score)) return false;  // nothing was compared
  const bool lower_is_better = metric_ == ValidationMetric::pixel_error;
  const bool best = std::isfinite(score) && (!best_ || (lower_is_better ? score < *best_ : score > *best_));
  if (best) best_ = score;
  without_best_ = best ? 0 : without_best_ + 1;
  return best;
}

void BestValidation::store(Checkpoint& checkpoint) const {
  if (best_) checkpoint.numbers[key_of(metric_)] = {*best_};
  checkpoint.counters[kWithoutBest] = without_best_;
}

std::vector<std::string> changes_on_resume(ValidationMetric metric, bool averaging,
                                           const Checkpoint& resumed) {
  std::vector<std::string> changes;
  for (const ValidationMetric other : values_of<ValidationMetric>()) {
    if (other == metric || stored_best(metric, resumed) || !stored_best(other, resumed)) continue;
    changes.push_back(fmt::format(
        "its best validation is one by {}, and train.validation_metric is {} now: the next validation "
        "counts as the best so far and replaces best.h5",
        name_of(other), name_of(metric)));
  }
  if (averaging && !has_average(resumed)) {
    changes.push_back(
        "it holds no averaged weights: train.average_decay starts a new average from its weights");
  }
  if (!averaging && has_average(resumed)) {
    changes.push_back("it holds averaged weights, which are dropped, because train.average_decay is 0 now");
  }
  return changes;
}

}  // namespace tessera
