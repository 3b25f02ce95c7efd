#include "pipeline/evaluate/thinned_objects.h"

#include "pipeline/evaluate/label_pairs.h"
#include "workers/metrics/ignored_class.h"
#include "workers/metrics/watershed.h"
#include "workers/samples/weight_map.h"

namespace tessera {

ThinnedSums& ThinnedSums::operator+=(const ThinnedSums& other) {
  rand += other.rand;
  info += other.info;
  interior += other.interior;
  return *this;
}

ThinnedSums thinned_sums(const VoxelBuffer& truth, const VoxelBuffer& predicted,
                         std::optional<LabelId> ignore) {
  const std::int64_t height = truth.shape.y, width = truth.shape.x;
  std::vector<std::uint8_t> classes(static_cast<std::size_t>(height * width), 0);
  ThinnedSums sums;
  with_integers(truth, [&](auto ids) {
    using Id = std::remove_const_t<typename decltype(ids)::element_type>;
    std::vector<Id> kept(ids.begin(), ids.end());
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const auto id = static_cast<LabelId>(kept[i]);
      if ((ignore && id == *ignore) || is_negative_id(id)) {
        classes[i] = kIgnoredClass;
        kept[i] = 0;
      }
    }
    std::vector<std::int32_t> cells = dense_instances<Id>(kept);
    separate_instances(cells, height, width);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (cells[i] == 0) continue;
      classes[i] = 1;
      sums.interior += 1;
    }
  });
  Components objects;
  with_integers(predicted, [&](auto ids) {
    using Id = std::remove_const_t<typename decltype(ids)::element_type>;
    objects = equal_components(dense_instances<Id>(ids), height, width);
  });
  const Components thinned = thin(objects, height, width, classes);
  const Contingency table =
      count_overlaps(TrueComponents(classes, height, width), thinned.labels, thinned.count);
  sums.rand = rand_sums(table);
  sums.info = info_sums(table);
  return sums;
}

ThinnedScores thinned_scores(const std::vector<ThinnedSums>& sections) {
  double judged = 0, rand = 0, info = 0;
  for (const ThinnedSums& one : sections) {
    if (one.interior == 0) continue;
    judged += 1;
    rand += scores_of(one.rand).f;
    info += scores_of(one.info).f;
  }
  return {ratio(rand, judged), ratio(info, judged)};
}

}  // namespace tessera
