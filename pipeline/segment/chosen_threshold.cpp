#include "pipeline/segment/chosen_threshold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
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
#include "pipeline/segment/thinned_sections.h"
#include "workers/metrics/label_table.h"
#include "workers/mpi/agreement.h"
#include "workers/segment/segment_tasks.h"

namespace tessera {
namespace {

/// Prediction and labels, in the coordinates of the prediction.
EvaluatedVolumes open_choice(const SegmentConfig& config) {
  EvaluationRequest request;
  request.kind = EvaluationKind::probability;
  request.prediction = *config.prediction;
  request.labels = *config.choose_labels;
  request.frame = read_volume_info(request.prediction);
  request.any_channels = true;  // affinities
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

/// Errors: as scored_box().
Box box_of(const EvaluatedVolumes& volumes, const SegmentConfig& config, const Box& region) {
  const Box wanted{{volumes.sections.begin, volumes.bounds.y_begin, volumes.bounds.x_begin},
                   {volumes.sections.end, volumes.bounds.y_end, volumes.bounds.x_end}};
  const Box scored = intersection(wanted, region);
  if (scored.empty()) {
    throw UsageError(fmt::format("segment.choose_sections: {}:{} are not in segment.region, {}",
                                 wanted.begin.z, wanted.end.z, to_string(region)));
  }
  if (config.choose == ThresholdChoice::vrand_thin && scored.voxels() > kMostThinnedVoxels) {
    throw UsageError(fmt::format(
        "segment.choose: vrand_thin scores at most {} voxels, and the sections {}:{} have {}: set "
        "fewer segment.choose_sections, or choose by voi",
        kMostThinnedVoxels, scored.begin.z, scored.end.z, scored.voxels()));
  }
  return scored;
}

/// What the pass over the blocks of the scored sections finds.
struct ScoredPart {
  Box scored;  ///< in coordinates of the prediction
  std::unique_ptr<Volume> labels;
  LabelTable table;                 ///< pairs of label and supervoxel in this rank's share of the blocks
  std::vector<SupervoxelRun> runs;  ///< in the same blocks, where they are needed
};

ScoredPart scored_part(const SegmentJob& job, const SegmentConfig& config, const Communicator& world) {
  EvaluatedVolumes volumes = open_choice(config);
  ScoredPart result{box_of(volumes, config, job.region), std::move(volumes.labels), {}, {}};
  const Box own{result.scored.begin - job.region.begin, result.scored.end - job.region.begin};
  SegmentReader reader(job);
  BlockRelabeller relabeller(job, job.supervoxel_tables(), VoxelType::uint64);
  std::int64_t found = 0;
  for (std::int64_t id = 0; id < job.blocks.count(); ++id) {
    const Box box = job.blocks.block(id), part = intersection(box, own);
    if (part.empty() || found++ % world.size() != world.rank()) continue;
    const VoxelBuffer ids = relabeller.relabelled(*reader.read(id));
    const Box in_volume{part.begin + job.region.begin, part.end + job.region.begin};
    count_pairs(result.labels->read(in_volume), ids, box.begin, part, config.choose_ignored, result.table);
    if (config.choose == ThresholdChoice::vrand_thin) add_runs(ids, box.begin, part, own, result.runs);
  }
  return result;
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

/// Smaller is better.
double badness(ThresholdChoice by, const ThresholdScore& one) {
  switch (by) {
    case ThresholdChoice::rand:
      return one.scores.adapted_rand_error;
    case ThresholdChoice::vrand_thin:
      return -one.rand_thin.value_or(kUndefined);
    case ThresholdChoice::voi:
    case ThresholdChoice::none:
      break;
  }
  return one.scores.voi;
}

const char* score_name(ThresholdChoice by) {
  return by == ThresholdChoice::voi ? "VOI" : by == ThresholdChoice::rand ? "Rand error" : "V^Rand_thin";
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

Box scored_box(const SegmentConfig& config, const Box& region) {
  return box_of(open_choice(config), config, region);
}

ChosenThreshold choose_threshold(const SegmentJob& job, const StoredGraph* graph, const SegmentConfig& config,
                                 SegmentMode mode, const Communicator& world) {
  ChosenThreshold chosen{config.choose, config.choose_labels->text(), *config.choose_sections, 0, {}};
  ScoredPart part;
  on_every_rank(world, [&] { part = scored_part(job, config, world); });
  const std::vector<LabelOverlap> pairs = std::move(part.table).take_overlaps();
  std::vector<std::uint64_t> ids;
  if (world.is_root()) ids = graph->supervoxels().ids;
  broadcast_values(world, ids);
  std::optional<ThinnedSections> thinned;
  if (config.choose == ThresholdChoice::vrand_thin)
    thinned.emplace(std::move(part.runs), part.scored, *part.labels, ids, config.choose_ignored, world);
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
    chosen.scores.push_back({threshold, cut.objects, scores_of(label_sums(std::move(table), world)), {}});
    ThresholdScore& one = chosen.scores.back();
    if (thinned) one.rand_thin = thinned->scores(cut.object).rand_f_macro;
    const double bad = badness(config.choose, one);
    if (!std::isnan(bad) && (best == nullptr || bad < badness(config.choose, *best))) best = &one;
  }
  if (best == nullptr) {
    throw UsageError(fmt::format("segment.choose_sections: no voxel of {} has a label in the sections {}:{}",
                                 chosen.labels, chosen.sections.begin, chosen.sections.end));
  }
  chosen.threshold = best->threshold;
  return chosen;
}

std::string ChosenThreshold::text() const {
  const bool thin = by == ThresholdChoice::vrand_thin;
  std::vector<std::string> heads{"threshold", "objects", "VOI split", "VOI merge", "VOI", "Rand error"};
  if (thin) heads.emplace_back("V^Rand_thin");
  TextTable table(heads);
  for (const ThresholdScore& one : scores) {
    std::vector<std::string> cells{fmt::format("{}", one.threshold), fmt::format("{}", one.objects)};
    for (const double value :
         {one.scores.voi_split, one.scores.voi_merge, one.scores.voi, one.scores.adapted_rand_error})
      cells.push_back(score_text(value, 4));
    if (thin) cells.push_back(score_text(one.rand_thin.value_or(kUndefined), 4));
    table.add(cells, one.threshold == threshold ? "chosen" : "");
  }
  return table.text() +
         fmt::format(
             "threshold {} is chosen by {} on the sections {}:{} of {}. Report scores on other sections\n",
             threshold, score_name(by), sections.begin, sections.end, labels);
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
    if (one.rand_thin) rows.back()["rand_thin_f_macro"] = *one.rand_thin;
  }
  return {{"threshold", threshold},
          {"by", name_of(by)},
          {"labels", shown_as_utf8(labels)},
          {"sections", {sections.begin, sections.end}},
          {"scores", rows}};
}

}  // namespace tessera
