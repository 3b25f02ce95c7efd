#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/volume/volume.h"
#include "pipeline/evaluate/evaluation_request.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Looks at the middle of an integer prediction whose kind nothing but its type tells, and that is therefore
/// taken as a probability. Errors: UsageError when it looks like ids or classes; Error. Not collective.
void require_probability_by_look(const VolumeInfo& prediction);

/// The kind of the prediction: by the request, else by what it says of itself, else by its type. Errors:
/// UsageError when the requested kind does not fit.
EvaluationKind kind_of(const EvaluationRequest& request, const VolumeInfo& prediction);

/// Prediction and labels of an evaluation, in the coordinates of the request's frame.
struct EvaluatedVolumes {
  std::unique_ptr<Volume> prediction, labels;
  VolumeInfo frame;
  SectionRange sections;  ///< those that are requested and that both volumes have
  PixelBounds bounds;     ///< the pixels, likewise

  /// Height and width of a scored section.
  std::int64_t height() const { return bounds.y_end - bounds.y_begin; }
  std::int64_t width() const { return bounds.width(); }
};

/// Opens both volumes, with every check that reads no voxel: one channel each, places that fit (box_within),
/// types that fit `kind`, sections that exist. Errors: UsageError, Error.
EvaluatedVolumes open_evaluated(const EvaluationRequest& request, EvaluationKind kind);
/// The raw volume in the same coordinates. Errors: UsageError where it lacks scored voxels; Error.
std::unique_ptr<Volume> open_fitting_raw(const DatasetName& raw, const EvaluatedVolumes& volumes);

/// This rank's slabs of sections; each slab belongs to one rank. Slabs are as deep as the stored chunks, so
/// that each chunk is decompressed once, or less deep when ranks would be idle; at most `most_sections`.
std::vector<SectionRange> slabs_of_rank(const SectionRange& sections, const VolumeInfo& prediction,
                                        const VolumeInfo& labels, std::int64_t most_sections,
                                        const Communicator& world);

/// Calls `function` with boxes that cover the pixels of `bounds` in the slab once. They consist of whole
/// stored chunks, cut at the bounds, where these fit into `most_voxels`.
void for_each_box(const SectionRange& slab, const VolumeInfo& prediction, const VolumeInfo& labels,
                  const PixelBounds& bounds, std::int64_t most_voxels,
                  const std::function<void(const Box&)>& function);

/// Time and memory of an evaluation.
struct EvaluationRun {
  int ranks = 1;
  double elapsed_s = 0;                                 ///< of the slowest rank
  std::vector<std::pair<std::string, double>> stage_s;  ///< sums over the ranks
  std::int64_t peak_memory_bytes = 0;  ///< of the rank with the largest (VmHWM; 0: not known)
};
/// Collective. `stages`: this rank's times; every rank has the same stages.
EvaluationRun evaluation_run(double begin_s, const std::vector<std::pair<std::string, double>>& stages,
                             const Communicator& world);

}  // namespace tessera
