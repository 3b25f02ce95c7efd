#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/volume/volume.h"
#include "pipeline/config/experiment.h"
#include "workers/mpi/communicator.h"
#include "workers/samples/training_set.h"
#include "workers/train/validator.h"

namespace tessera {

/// An annotated volume of an experiment, with what its files say of it.
struct AnnotatedVolume {
  VolumeConfig said;  ///< wildcards filled in; `sampling_weight` is this volume's own
  VolumeInfo raw, labels;
  std::optional<PixelBounds> region;  ///< that of the config, within the labels; none: all of a section
  Box labelled;                       ///< the voxels of the raw volume that the labels cover

  const std::optional<Sections>& train_sections() const { return said.train_sections; }
  const std::optional<Sections>& validation_sections() const { return said.validation_sections; }
  /// The pixels of a section that count.
  PixelBounds bounds() const { return region.value_or(PixelBounds{0, 0, raw.shape.y, raw.shape.x}); }
};

/// Collective. The volumes of `data:` in the order of the config file; a wildcard becomes one volume per
/// match. A volume of the list without sections of its own is used entirely for training. Sections and
/// regions are cut to what the labels cover. Only the root opens the files. Errors, on every rank:
/// AgreedError for what the files lack; UsageError, naming the key, for shapes, sections, regions and
/// channels that do not fit together, and for sections that are both trained on and held out.
std::vector<AnnotatedVolume> find_volumes(const DataConfig& config, const Communicator& world);

/// The training volumes. `context` and `tile_side`: those of the plan.
TrainingSetOptions training_set_options(const ExperimentConfig& config,
                                        const std::vector<AnnotatedVolume>& volumes, std::int64_t context,
                                        std::int64_t tile_side, int threads);

/// Collective over the workers. The volumes with held-out sections. With `normalisation: volume` each has the
/// mean and deviation of its training sections, or, without any, of the held-out ones, which one worker reads
/// for it. Otherwise the training loop sets the values. Errors: AgreedError.
std::vector<ValidationVolume> validation_volumes(const std::vector<AnnotatedVolume>& volumes,
                                                 const TrainingSet& data, const Communicator& workers);

/// Bytes of the training volumes that a worker holds.
std::int64_t held_bytes(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                        std::int64_t context, std::int64_t tile_side);

/// "76 volumes, 45 of them trained on, 31 with held-out sections".
std::string volumes_summary(const std::vector<AnnotatedVolume>& volumes);
/// A line for each volume: number, name, shape, type, sections.
std::string volumes_text(const std::vector<AnnotatedVolume>& volumes);

}  // namespace tessera
