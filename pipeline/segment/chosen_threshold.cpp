#include "pipeline/segment/chosen_threshold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "io/base/error.h"
#include "io/base/utf8_text.h"
#include "io/stores/open_volume.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "pipeline/evaluate/label_pairs.h"
#include "pipeline/run/score_text.h"
#include "pipeline/run/text_table.h"
#include "workers/metrics/label_table.h"
#include "workers/mpi/agreement.h"
#include "workers/segment/segment_tasks.h"

namespace tessera {
namespace {

/// Prediction and labels, in the coordinates of the prediction.
EvaluatedVolumes open_choice(const SegmentJob& job, const SegmentConfig& config) {
  EvaluationRequest request;
  request.kind = EvaluationKind::probability;
  request.prediction = job.prediction;
  request.labels = *config.choose_labels;
  request.frame = read_volume_info(job.prediction);
  request.sections = {config.choose_sections->begin, config.choose_sections->end};
  return open_evaluated(request, EvaluationKind::probability);
}

/// Adds the pairs of label and supervoxel of a part of a block. `part`: in the region's coordinates.
void count_pairs(const VoxelBuffer& truth, const VoxelBuffer& block, const Index3& block_begin,
                 const Box& part, const std::optional<LabelId>& ignored, LabelTable& table) {
  const auto ids = block.as<std::uint64_t>();
  const auto width = static_cast<std::size_t>(part.shape().x);
  with_integers(truth, [&](auto all) {
    std::size_t at = 0;
    for (std::int64_t z = part.begin.z; z < part.end.z; ++z) {
      for (std::int64_t y = part.begin.y; y < part.end.y; ++y, at += width) {
        const std::int64_t row = linear_index(Index3{z, y, part.begin.x} - block_begin, block.shape);
        table.add_voxels(all.subspan(at, width), ids.subspan(static_cast<std::size_t>(row), width), ignored);
      }
    }
  });
}

/// The pairs of label and supervoxel in this rank's share of the blocks.
LabelTable counted_pairs(const SegmentJob& job, const SegmentConfig& config, const Communicator& world) {
  const EvaluatedVolumes volumes = open_choice(job, config);
  const Box scored{{volumes.sections.begin, volumes.bounds.y_begin, volumes.bounds.x_begin},
                   {volumes.sections.end, volumes.bounds.y_end, volumes.bounds.x_end}};
  SegmentReader reader(job);
  BlockRelabeller relabeller(job, job.supervoxel_tables(), VoxelType::uint64);
  LabelTable table;
  std::int64_t found = 0;
  for (std::int64_t id = 0; id < job.blocks.count(); ++id) {
    const Box box = job.blocks.block(id);
    const Box in_volume = intersection({box.begin + job.region.begin, box.end + job.region.begin}, scored);
    if (in_volume.empty() || found++ % world.size() != world.rank()) continue;
    const VoxelBuffer ids = relabeller.relabelled(*reader.read(id));
    const Box part{in_volume.begin - job.region.begin, in_volume.end - job.region.begin};
    count_pairs(volumes.labels->read(in_volume), ids, box.begin, part, config.choose_ignored, table);
  }
  if (found == 0) {
    throw UsageError(fmt::format("segment.choose_sections: {}:{} are not in segment.region, {}",
                                 scored.begin.z, scored.end.z, to_string(job.region)));
  }
  return table;
}

/// The table with objects in place of supervoxels.
LabelTable with_objects(const std::vector<LabelOverlap>& pairs, std::span<const std::uint64_t> ids,
                        std::span<const std::uint64_t> object) {
  LabelTable table;
  for (const LabelOverlap& one : pairs) {
    std::uint64_t predicted = 0;
    if (one.predicted != 0) {
      const auto found = std::ranges::lower_bound(ids, one.predicted);
      if (found == ids.end() || *found != one.predicted)
        throw Error(
            fmt::format("the graph lacks the supervoxel {}: segment again with --restart", one.predicted));
      predicted = object[static_cast<std::size_t>(found - ids.begin())];
    }
    table.add(one.truth, predicted, one.voxels);
  }
  return table;
}

/// Collective. The root's values on every rank.
void broadcast_values(const Communicator& world, std::vector<std::uint64_t>& values) {
  auto count = static_cast<std::int64_t>(values.size());
  world.broadcast(std::as_writable_bytes(std::span(&count, 1)));
  values.resize(static_cast<std::size_t>(count));
  world.broadcast(std::as_writable_bytes(std::span(values)));
}

double score_by(ThresholdChoice by, const LabelScores& scores) {
  return by == ThresholdChoice::voi ? scores.voi : scores.adapted_rand_error;
}

/// The thresholds that the tree can be cut at.
std::vector<double> candidates(const SegmentConfig& config, SegmentMode mode) {
  std::vector<double> thresholds = config.thresholds;
  // Without links no run ends.
  if (mode == SegmentMode::sections)
    std::erase_if(thresholds,
                  [&](double one) { return one >= config.link_below && one != config.threshold; });
  return thresholds;
}

}  // namespace

ChosenThreshold choose_threshold(const SegmentJob& job, const StoredGraph* graph, const SegmentConfig& config,
                                 SegmentMode mode, const Communicator& world) {
  ChosenThreshold chosen{config.choose, config.choose_labels->text(), *config.choose_sections, 0, {}};
  std::vector<LabelOverlap> pairs;
  on_every_rank(world, [&] { pairs = counted_pairs(job, config, world).take_overlaps(); });
  std::vector<std::uint64_t> ids;
  if (world.is_root()) ids = graph->supervoxels().ids;
  broadcast_values(world, ids);
  const ThresholdScore* best = nullptr;
  const std::vector<double> thresholds = candidates(config, mode);
  chosen.scores.reserve(thresholds.size());
  for (const double threshold : thresholds) {
    TreeCut cut;
    on_root(world, [&] {
      SegmentConfig at = config;
      at.threshold = threshold;
      cut = cut_tree(*graph, at);
    });
    broadcast_values(world, cut.object);
    LabelTable table;
    on_every_rank(world, [&] { table = with_objects(pairs, ids, cut.object); });
    chosen.scores.push_back({threshold, cut.objects, scores_of(label_sums(std::move(table), world))});
    const ThresholdScore& one = chosen.scores.back();
    const double score = score_by(config.choose, one.scores);
    if (!std::isnan(score) && (best == nullptr || score < score_by(config.choose, best->scores))) best = &one;
  }
  if (best == nullptr) {
    throw UsageError(fmt::format("segment.choose_sections: no voxel of {} has a label in the sections {}:{}",
                                 chosen.labels, chosen.sections.begin, chosen.sections.end));
  }
  chosen.threshold = best->threshold;
  return chosen;
}

std::string ChosenThreshold::text() const {
  TextTable table({"threshold", "objects", "VOI split", "VOI merge", "VOI", "Rand error"});
  for (const ThresholdScore& one : scores) {
    std::vector<std::string> cells{fmt::format("{}", one.threshold), fmt::format("{}", one.objects)};
    for (const double value :
         {one.scores.voi_split, one.scores.voi_merge, one.scores.voi, one.scores.adapted_rand_error})
      cells.push_back(score_text(value, 4));
    table.add(cells, one.threshold == threshold ? "chosen" : "");
  }
  return table.text() +
         fmt::format(
             "threshold {} is chosen by {} on the sections {}:{} of {}. Report scores on other sections\n",
             threshold, by == ThresholdChoice::voi ? "VOI" : "Rand error", sections.begin, sections.end,
             labels);
}

nlohmann::json ChosenThreshold::json() const {
  nlohmann::json rows = nlohmann::json::array();
  for (const ThresholdScore& one : scores) {
    rows.push_back({{"threshold", one.threshold},
                    {"objects", one.objects},
                    {"voi_split", one.scores.voi_split},
                    {"voi_merge", one.scores.voi_merge},
                    {"voi", one.scores.voi},
                    {"adapted_rand_error", one.scores.adapted_rand_error}});
  }
  return {{"threshold", threshold},
          {"by", name_of(by)},
          {"labels", shown_as_utf8(labels)},
          {"sections", {sections.begin, sections.end}},
          {"scores", rows}};
}

}  // namespace tessera
