#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5/checkpoint_file.h"
#include "workers/train/validation_metric.h"
#include "workers/train/validator.h"

namespace tessera {

/// The best validation of a training so far, and the number of validations since.
class BestValidation {
 public:
  explicit BestValidation(ValidationMetric metric = ValidationMetric::pixel_error) : metric_(metric) {}
  /// For a resumed training. A best score by another metric is ignored.
  BestValidation(ValidationMetric metric, const Checkpoint& resumed);

  /// Returns whether these scores are the best so far. An undefined score (NaN) is as no validation.
  bool hear(const ValidationScores& scores);
  /// The best score; none before the first validation with a defined score.
  std::optional<double> score() const { return best_; }
  /// Validations since the best one.
  std::int64_t without_best() const { return without_best_; }
  void store(Checkpoint& checkpoint) const;

 private:
  ValidationMetric metric_;
  std::optional<double> best_;
  std::int64_t without_best_ = 0;
};

/// One sentence for each thing that a training lacks or drops when it resumes from `resumed` with these
/// settings.
std::vector<std::string> changes_on_resume(ValidationMetric metric, bool averaging,
                                           const Checkpoint& resumed);

}  // namespace tessera
