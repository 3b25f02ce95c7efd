#pragma once

#include <optional>
#include <vector>

#include "io/geometry/box.h"
#include "io/volume/volume.h"
#include "pipeline/config/experiment.h"
#include "pipeline/evaluate/evaluation_request.h"

namespace tessera {

/// Not collective: opens the files. Errors: UsageError when prediction and labels are one dataset, under any
/// name; when the prediction is the raw volume of the request or the experiment; when the labels say of
/// themselves that they are a probability.
void require_comparable(const EvaluationRequest& request, const VolumeInfo& labels,
                        const std::optional<ExperimentConfig>& config);

/// The voxels of the request's frame that the network of the prediction was trained on: by the training's
/// experiment in the attributes of the prediction, else by this experiment where it makes the prediction.
/// Empty where neither tells.
std::vector<Box> trained_boxes(const EvaluationRequest& request, const VolumeInfo& prediction,
                               const std::optional<ExperimentConfig>& config);

}  // namespace tessera
