#include "pipeline/evaluate/label_pairs.h"

#include "io/base/clock.h"

namespace tessera {
namespace {

/// Voxels of a block and sections of a slab: at most 32 MiB in memory per volume.
constexpr std::int64_t kPairBlockVoxels = std::int64_t{1} << 22;
constexpr std::int64_t kPairSlabSections = 64;

}  // namespace

LabelTable count_label_pairs(EvaluatedVolumes& volumes, const std::optional<LabelId>& ignored,
                             const Communicator& world, double& read_s) {
  const VolumeInfo &prediction = volumes.prediction->info(), &labels = volumes.labels->info();
  LabelTable table;
  for (const SectionRange& slab :
       slabs_of_rank(volumes.sections, prediction, labels, kPairSlabSections, world)) {
    for_each_box(slab, prediction, labels, volumes.bounds, kPairBlockVoxels, [&](const Box& box) {
      std::optional<ScopeTimer> reading(read_s);
      const VoxelBuffer truth = volumes.labels->read(box), predicted = volumes.prediction->read(box);
      reading.reset();
      with_integers(truth, [&](auto all_truth) {
        with_integers(predicted,
                      [&](auto all_predicted) { table.add_voxels(all_truth, all_predicted, ignored); });
      });
    });
  }
  return table;
}

}  // namespace tessera
