#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "io/hdf5/checkpoint_file.h"
#include "workers/train/validator.h"

namespace tessera {

/// Which score tells the best checkpoint.
enum class ValidationMetric { pixel_error, iou, rand };
constexpr auto enum_names(ValidationMetric) {
  return std::to_array<EnumName<ValidationMetric>>({{ValidationMetric::pixel_error, "pixel_error"},
                                                    {ValidationMetric::iou, "iou"},
                                                    {ValidationMetric::rand, "rand"}});
}

/// The best validation of a training so far, and how many came after it.
class BestValidation {
 public:
  explicit BestValidation(ValidationMetric metric = ValidationMetric::pixel_error) : metric_(metric) {}
  /// Of a training that goes on. A best by another metric is none.
  BestValidation(ValidationMetric metric, const Checkpoint& resumed);

  /// Whether these scores are the best so far. Scores that are no number never are.
  bool hear(const ValidationScores& scores);
  /// The best score; none before the first.
  std::optional<double> score() const { return best_; }
  /// Validations since the best one.
  std::int64_t without_best() const { return without_best_; }
  void store(Checkpoint& checkpoint) const;

 private:
  ValidationMetric metric_;
  std::optional<double> best_;
  std::int64_t without_best_ = 0;
};

/// What a training that goes on from `resumed` with other settings has to do without, or drops: a sentence
/// each.
std::vector<std::string> changes_on_resume(ValidationMetric metric, bool averaging,
                                           const Checkpoint& resumed);

}  // namespace tessera
