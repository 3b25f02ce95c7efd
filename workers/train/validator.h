#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "io/dataset_name.h"
#include "workers/infer/tile_predictor.h"
#include "workers/mpi/communicator.h"
#include "workers/network/unet_options.h"
#include "workers/train/training_data.h"

namespace tessera {

class UNetImpl;

/// How a network does on sections it does not train on.
struct ValidationScores {
  double pixel_error = 1;  ///< at the best threshold
  double threshold = 0.5;  ///< that one
  double iou = 0;          ///< of class 1, at the threshold best for it
  double rand_f = 0;       ///< foreground-restricted Rand F, micro, at the threshold best for it
};

/// One predicted section, for pictures.
struct PredictedSection {
  std::int64_t z = 0, height = 0, width = 0;
  std::vector<float> raw, probability;
  std::vector<std::uint8_t> truth;
};

struct ValidationOptions {
  DatasetName raw, labels;
  Sections sections;
  Normalisation normalisation;
  std::int64_t context = 0;
  Device device;
  std::int64_t memory_budget = 0;  ///< bytes for activations
  LabelKind label_kind = LabelKind::classes;
  std::optional<std::int64_t> ignore_label =
      std::nullopt;  ///< such voxels count as background that was found
};

/// Collective over the workers. Predicts the sections tile by tile, shared out over the workers, and scores
/// the probability of class 1 against the labels. The worker that predicts the first section hands it to
/// `show` (may be empty). The network is copied, not changed. The scores are equal on every worker.
ValidationScores validate(const UNetImpl& network, const ValidationOptions& options,
                          const Communicator& workers,
                          const std::function<void(const PredictedSection&)>& show);

}  // namespace tessera
