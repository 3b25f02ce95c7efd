#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/volume/volume.h"
#include "pipeline/evaluate/evaluation_request.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The kind of the prediction, by the request or else by its type. Errors: UsageError when its type does not
/// fit the requested kind.
EvaluationKind kind_of(const EvaluationRequest& request, const VolumeInfo& prediction);

/// The requested sections, after every check that reads no voxel: one channel each, equal shapes, types that
/// fit `kind`, sections that exist. Errors: UsageError.
SectionRange checked_sections(const EvaluationRequest& request, EvaluationKind kind,
                              const VolumeInfo& prediction, const VolumeInfo& labels);
/// The same checks of the raw volume. Errors: UsageError.
void require_fitting_raw(const DatasetName& raw, const VolumeInfo& labels);

/// This rank's slabs of sections; each slab belongs to one rank. Slabs are as deep as the stored chunks, so
/// that each chunk is decompressed once, or less deep when ranks would be idle; at most `most_sections`.
std::vector<SectionRange> slabs_of_rank(const SectionRange& sections, const VolumeInfo& prediction,
                                        const VolumeInfo& labels, std::int64_t most_sections,
                                        const Communicator& world);

/// Calls `function` with boxes that cover the slab once. They consist of whole stored chunks where these fit
/// into `most_voxels`.
void for_each_box(const SectionRange& slab, const VolumeInfo& prediction, const VolumeInfo& labels,
                  std::int64_t most_voxels, const std::function<void(const Box&)>& function);

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
