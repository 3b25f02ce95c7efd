#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5/volume_reader.h"
#include "pipeline/config/experiment.h"
#include "workers/mpi/communicator.h"
#include "workers/samples/training_set.h"
#include "workers/train/validator.h"

namespace tessera {

/// An annotated volume of an experiment, looked up in its files.
struct AnnotatedVolume {
  VolumeConfig said;  ///< wildcards filled in; `sampling_weight` is this volume's own
  VolumeInfo raw, labels;
  std::optional<PixelBounds> region;

  const std::optional<Sections>& train_sections() const { return said.train_sections; }
  const std::optional<Sections>& validation_sections() const { return said.validation_sections; }
  /// The pixels of a section that count.
  PixelBounds bounds() const { return region.value_or(PixelBounds{0, 0, raw.shape.y, raw.shape.x}); }
};

/// Collective. The volumes of `data:`, each wildcard expanded to one volume for every match, in the order of
/// the file. A volume of the list without sections of its own is trained on whole. The root looks into the
/// files. Errors, on every rank: AgreedError for what is not in the files; UsageError, naming the key, for
/// shapes, sections, regions and channels that do not go together, and for sections that are trained on and
/// held out.
std::vector<AnnotatedVolume> find_volumes(const DataConfig& config, const Communicator& world);

/// Those that are trained on. `context` and `tile_side` are the plan's.
TrainingSetOptions training_set_options(const ExperimentConfig& config,
                                        const std::vector<AnnotatedVolume>& volumes, std::int64_t context,
                                        std::int64_t tile_side, int threads);

/// Collective over the workers. Those with held-out sections. With `normalisation: volume` each has the mean
/// and deviation of its training sections, or, where there are none, of the held-out ones, which one worker
/// reads for it; else the values are the trainer's to fill in. Errors: AgreedError.
std::vector<ValidationVolume> validation_volumes(const std::vector<AnnotatedVolume>& volumes,
                                                 const TrainingSet& data, const Communicator& workers);

/// Bytes that a worker holds of the volumes that are trained on.
std::int64_t held_bytes(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                        std::int64_t context, std::int64_t tile_side);

/// "76 volumes, 45 of them trained on, 31 with held-out sections".
std::string volumes_summary(const std::vector<AnnotatedVolume>& volumes);
/// A line for each volume: number, name, shape, type, sections.
std::string volumes_text(const std::vector<AnnotatedVolume>& volumes);

}  // namespace tessera
