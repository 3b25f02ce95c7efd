#pragma once

#include "io/base/enum_names.h"

namespace tessera {

/// The validation score that selects the best checkpoint.
enum class ValidationMetric {
  pixel_error,  ///< lower is better; the others: higher is better
  iou,
  rand,
};
constexpr auto enum_names(ValidationMetric) {
  return std::to_array<EnumName<ValidationMetric>>({{ValidationMetric::pixel_error, "pixel_error"},
                                                    {ValidationMetric::iou, "iou"},
                                                    {ValidationMetric::rand, "rand"}});
}

}  // namespace tessera
