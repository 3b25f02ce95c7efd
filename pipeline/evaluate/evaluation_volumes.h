#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/hdf5/volume_reader.h"
#include "pipeline/evaluate/evaluation_request.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What the prediction is, by the request or else by its type. Errors: UsageError where its type is of no
/// such kind.
EvaluationKind kind_of(const EvaluationRequest& request, const VolumeInfo& prediction);

/// The sections asked for, after every check that needs no voxel: one channel each, equal shapes, types that
/// go with `kind`, sections that exist. Errors: UsageError.
SectionRange checked_sections(const EvaluationRequest& request, EvaluationKind kind,
                              const VolumeInfo& prediction, const VolumeInfo& labels);
/// The raw volume's part of it. Errors: UsageError.
void require_fitting_raw(const DatasetName& raw, const VolumeInfo& labels);

/// This rank's sections, in slabs that no other rank has: as deep as the stored chunks, so that each chunk is
/// decompressed once, unless that leaves ranks idle; at most `most_sections` deep.
std::vector<SectionRange> slabs_of_rank(const SectionRange& sections, const VolumeInfo& prediction,
                                        const VolumeInfo& labels, std::int64_t most_sections,
                                        const Communicator& world);

/// Calls `function` with boxes that cover the slab once, made of whole stored chunks where they fit into
/// `most_voxels`.
void for_each_box(const SectionRange& slab, const VolumeInfo& prediction, const VolumeInfo& labels,
                  std::int64_t most_voxels, const std::function<void(const Box&)>& function);

/// How an evaluation went.
struct EvaluationRun {
  int ranks = 1;
  double elapsed_s = 0;                                 ///< of the slowest rank
  std::vector<std::pair<std::string, double>> stage_s;  ///< sums over the ranks
  std::int64_t peak_memory_bytes = 0;  ///< of the rank that needed most (VmHWM; 0: not known)
};
/// Collective: from this rank's times, with the same stages on every rank.
EvaluationRun evaluation_run(double begin_s, const std::vector<std::pair<std::string, double>>& stages,
                             const Communicator& world);

/// Writes the text aside and puts it in place, with the folder it needs. Errors: Error.
void write_text_file(const std::string& text, const std::filesystem::path& file);

}  // namespace tessera
