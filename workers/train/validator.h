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

/// A network's scores on held-out sections. NaN: undefined, because nothing was compared.
struct ValidationScores {
  double pixel_error = 1;       ///< at `threshold`
  double threshold = 0.5;       ///< of the probability, with the lowest pixel error
  double iou = 0;               ///< of class 1, at its own best threshold
  double rand_f = 0;            ///< foreground-restricted Rand F, micro, at its own best threshold
  double correlation = 0;       ///< of labels and output at threshold 0.5; NaN: undefined
  bool looks_inverted = false;  ///< the correlation says that the labels are probably inverted
  /// What the labels lack: a score is then undefined, because there is nothing to find.
  bool has_membrane = true, has_interior = true;
};

/// The region of one predicted section, for pictures. Arrays: (height, width).
struct PredictedSection {
  std::size_t volume = 0;  ///< ValidationVolume::number
  std::int64_t z = 0, height = 0, width = 0;
  std::vector<float> raw, probability;
  std::vector<std::uint8_t> truth;  ///< 1: class 1, 0: another class, kIgnoredClass: not scored
};

/// Held-out sections of one volume.
struct ValidationVolume {
  DatasetName raw, labels;
  Sections sections;
  Normalisation normalisation;
  LabelKind label_kind = LabelKind::classes;
  std::optional<LabelId> ignore_label = {};          ///< such voxels are in no sum
  bool invert_labels = false;                        ///< LabelOptions::invert
  std::optional<PixelBounds> region = std::nullopt;  ///< the pixels that are predicted and scored; none: all
  std::size_t number = 0;                            ///< in the names of pictures
};

struct ValidationOptions {
  std::vector<ValidationVolume> volumes;
  std::int64_t context = 0;
  Device device;
  std::int64_t memory_budget = 0;  ///< bytes for activations
  /// Whether this worker has to leave the validation: as Trainer::leave_when().
  std::function<bool()> must_leave = {};
};

/// Maximum number of volumes of whose first section a picture is made.
constexpr std::size_t kShownVolumes = 4;

/// Collective over the workers. Predicts the sections of all volumes tile by tile and scores the probability
/// of class 1 against the labels. Sums over all sections are divided once. The pixels are distributed over
/// all workers: with fewer sections than workers a section is cut into bands (validation_share.h), and the
/// worker that scores it receives the probabilities of the others. A worker holds about one such section.
/// `show` (may be empty) receives the first section of each of the first kShownVolumes volumes, on the worker
/// that scores it. The network is copied. The scores are the same on every worker, and for any number of
/// workers up to the rounding of tiles. None, on every worker, when any had to leave. Errors: OutOfMemory;
/// Error for unreadable sections. Each may be one worker's alone.
std::optional<ValidationScores> validate(const Network& network, const ValidationOptions& options,
                                         const Communicator& workers,
                                         const std::function<void(const PredictedSection&)>& show);

}  // namespace tessera
