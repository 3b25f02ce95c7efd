#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "io/volume/dataset_name.h"
#include "workers/infer/tile_predictor.h"
#include "workers/mpi/communicator.h"
#include "workers/network/network_description.h"
#include "workers/samples/training_data.h"

namespace tessera {

class Network;

/// How a network does on sections it does not train on.
struct ValidationScores {
  double pixel_error = 1;  ///< at the best threshold
  double threshold = 0.5;  ///< that one
  double iou = 0;          ///< of class 1, at the threshold best for it
  double rand_f = 0;       ///< foreground-restricted Rand F, micro, at the threshold best for it
};

/// One predicted section, for pictures: its region alone.
struct PredictedSection {
  std::size_t volume = 0;  ///< ValidationVolume::number
  std::int64_t z = 0, height = 0, width = 0;
  std::vector<float> raw, probability;
  std::vector<std::uint8_t> truth;
};

/// Held-out sections of one volume.
struct ValidationVolume {
  DatasetName raw, labels;
  Sections sections;
  Normalisation normalisation;
  LabelKind label_kind = LabelKind::classes;
  std::optional<std::int64_t> ignore_label =
      std::nullopt;                                  ///< such voxels count as background that was found
  bool invert_labels = false;                        ///< LabelOptions::invert
  std::optional<PixelBounds> region = std::nullopt;  ///< what is predicted and judged; none: all
  std::size_t number = 0;                            ///< how pictures call it
};

struct ValidationOptions {
  std::vector<ValidationVolume> volumes;
  std::int64_t context = 0;
  Device device;
  std::int64_t memory_budget = 0;  ///< bytes for activations
};

/// Pictures are made of the first section of so many volumes at most.
constexpr std::size_t kShownVolumes = 4;

/// Collective over the workers. Predicts the sections of all volumes tile by tile and scores the probability
/// of class 1 against the labels; sums over all of them are divided once. The pixels are shared out over all
/// workers: where there are fewer sections than workers, a section is cut into bands (validation_share.h),
/// and one worker, who scores it, gets the probabilities of the others. A worker holds about one such
/// section. The first section of each of the first volumes goes to `show` (may be empty), on the worker that
/// scores it. The network is copied, not changed. The scores are equal on every worker, and for any number of
/// workers to what the tiles' rounding does.
ValidationScores validate(const Network& network, const ValidationOptions& options,
                          const Communicator& workers,
                          const std::function<void(const PredictedSection&)>& show);

}  // namespace tessera
