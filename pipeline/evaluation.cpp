#include "pipeline/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "io/error.h"
#include "io/log.h"
#include "io/volume_reader.h"
#include "pipeline/evaluation_report.h"
#include "workers/mpi/agree.h"

namespace tessera {
namespace {

/// What a rank holds of a volume at most.
constexpr std::int64_t kSlabBytes = std::int64_t{256} << 20;
/// Rounding may carry a mean of probabilities this far out of [0, 1].
constexpr float kProbabilitySlack = 1e-5F;

void require_same_shape(const VolumeInfo& one, const std::string& role, const VolumeInfo& labels) {
  if (one.shape == labels.shape) return;
  throw UsageError(fmt::format("the {} {} has the shape {}, the labels {} have {}: they must be equal", role,
                               one.name.text(), to_string(one.shape), labels.name.text(), to_string(labels.shape)));
}

void require_one_channel(const VolumeInfo& info) {
  if (info.channels == 1) return;
  throw UsageError(fmt::format("{} has {} channels, evaluate takes volumes of one", info.name.text(), info.channels));
}

/// The sections asked for, after every check that needs no voxel.
SectionRange checked_sections(const EvaluationRequest& request, const VolumeInfo& prediction,
                              const VolumeInfo& labels) {
  require_one_channel(prediction);
  require_one_channel(labels);
  require_same_shape(prediction, "prediction", labels);
  if (prediction.type == VoxelType::uint32 || prediction.type == VoxelType::uint64) {
    throw UsageError(fmt::format("the prediction {} holds {}: a probability is float, uint8 or uint16 (are "
                                 "prediction and labels swapped?)",
                                 prediction.name.text(), name_of(prediction.type)));
  }
  if (labels.type == VoxelType::float32) {
    throw UsageError(fmt::format("the labels {} hold floating point, not integers (are prediction and labels "
                                 "swapped?)",
                                 labels.name.text()));
  }
  if (request.raw && !request.raw_may_not_fit) {
    const VolumeReader raw(*request.raw);
    require_one_channel(raw.info());
    require_same_shape(raw.info(), "raw volume", labels);
  }
  const SectionRange all{0, labels.shape.z};
  const SectionRange sections = request.sections.value_or(all);
  if (sections.begin < 0 || sections.end > all.end || sections.begin >= sections.end) {
    throw UsageError(fmt::format("sections {}:{} are not in {}, whose sections are 0:{}", sections.begin,
                                 sections.end, labels.name.text(), all.end));
  }
  return sections;
}

/// Pictures are no reason to fail: without the raw volume they show the probability.
void leave_out_unfit_raw(EvaluationRequest& request, const VolumeInfo& labels) {
  if (!request.raw) return;
  try {
    const VolumeReader raw(*request.raw);
    require_one_channel(raw.info());
    require_same_shape(raw.info(), "raw volume", labels);
  } catch (const Error& error) {
    spdlog::warn("the pictures go without the raw volume: {}", error.what());
    request.raw.reset();
  }
}

/// Sections per slab: as the chunks are deep, so that each is decompressed once, unless that leaves ranks
/// idle or takes too much memory.
std::int64_t slab_depth(const VolumeInfo& prediction, const VolumeInfo& labels, std::int64_t sections,
                        std::int64_t ranks) {
  std::int64_t depth = 1;
  for (const VolumeInfo* info : {&prediction, &labels}) {
    if (info->chunk) depth = std::max(depth, info->chunk->z);
  }
  const std::int64_t section_bytes =
      labels.shape.y * labels.shape.x * std::max(size_of(prediction.type), size_of(labels.type));
  return std::clamp<std::int64_t>(std::min(kSlabBytes / section_bytes, ceil_div(sections, ranks)), 1, depth);
}

void require_probability(std::span<const float> section, std::int64_t z, std::int64_t width,
                         const DatasetName& name) {
  const auto wrong = std::find_if(section.begin(), section.end(), [](float value) {
    return !(value >= -kProbabilitySlack && value <= 1 + kProbabilitySlack);  // true for NaN too
  });
  if (wrong == section.end()) return;
  const std::int64_t at = wrong - section.begin();
  throw Error(fmt::format("{} at section {}, (y, x) = ({}, {}) is {}, no probability in [0, 1]{}", name.text(), z,
                          at / width, at % width, *wrong,
                          *wrong == *wrong ? " (are these scores before the softmax?)" : ""));
}

/// Scores the slabs of this rank into `table`.
void score_slabs(const EvaluationRequest& request, const Communicator& world, const SectionRange& sections,
                 VolumeReader& prediction, VolumeReader& labels, ThresholdTable& table) {
  const Index3 shape = labels.info().shape;
  const auto pixels = static_cast<std::size_t>(shape.y * shape.x);
  const std::int64_t depth =
      slab_depth(prediction.info(), labels.info(), sections.end - sections.begin, world.size());
  const std::int64_t first = sections.begin / depth, last = ceil_div(sections.end, depth);
  for (std::int64_t slab = first + world.rank(); slab < last; slab += world.size()) {
    const Box box{{std::max(slab * depth, sections.begin), 0, 0},
                  {std::min((slab + 1) * depth, sections.end), shape.y, shape.x}};
    const VoxelBuffer probability = prediction.read(box);
    const std::vector<std::uint8_t> truth = interior_mask(labels.read(box), request);
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      const std::size_t at = static_cast<std::size_t>(z - box.begin.z) * pixels;
      const auto truth_section = std::span(truth).subspan(at, pixels);
      std::vector<ThresholdSums> sums;
      const auto score = [&]<class T>(std::span<const T> volume) {
        const auto section = volume.subspan(at, pixels);
        if constexpr (std::is_same_v<T, float>) require_probability(section, z, shape.x, request.prediction);
        sums = score_section<T>(section, truth_section, shape.y, shape.x, table.thresholds);
      };
      if (probability.type == VoxelType::uint8) score(probability.as<std::uint8_t>());
      else if (probability.type == VoxelType::uint16) score(probability.as<std::uint16_t>());
      else score(probability.as<float>());
      std::copy(sums.begin(), sums.end(), table.section(z - sections.begin).begin());
    }
  }
}

std::size_t best_of(std::span<const ThresholdSums> sums, double ThresholdScores::*score) {
  const auto best = std::max_element(sums.begin(), sums.end(), [score](const auto& a, const auto& b) {
    return scores_of(a).*score < scores_of(b).*score;
  });
  return static_cast<std::size_t>(best - sums.begin());
}

}  // namespace

std::size_t Evaluation::best_f(std::int64_t section) const {
  return best_of(table.section(section), &ThresholdScores::f);
}

std::size_t Evaluation::best_rand(std::int64_t section) const {
  return best_of(table.section(section), &ThresholdScores::rand_f);
}

std::vector<std::int64_t> Evaluation::from_worst() const {
  std::vector<double> f;
  for (std::int64_t z = 0; z < table.sections; ++z) f.push_back(scores_of(table.section(z)[best_f(z)]).f);
  std::vector<std::int64_t> order(f.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return f[static_cast<std::size_t>(a)] < f[static_cast<std::size_t>(b)];
  });
  return order;
}

Evaluation evaluate_volumes(const EvaluationRequest& request, const Communicator& world) {
  const std::vector<double> thresholds = accumulated_thresholds(request.thresholds);
  Evaluation evaluation{request, {}, {thresholds, 0}, {}, {}};
  std::optional<VolumeReader> prediction, labels;
  on_every_rank(world, [&] {
    prediction.emplace(request.prediction);
    labels.emplace(request.labels);
    evaluation.sections = checked_sections(request, prediction->info(), labels->info());
  });
  const SectionRange& sections = evaluation.sections;
  evaluation.table = ThresholdTable(thresholds, sections.end - sections.begin);
  on_every_rank(world, [&] { score_slabs(request, world, sections, *prediction, *labels, evaluation.table); });
  std::vector<double> sums = evaluation.table.flat();
  world.sum(std::span<double>(sums));
  evaluation.table.set_flat(sums);
  evaluation.volume = volume_scores(evaluation.table);
  evaluation.best = best_thresholds(evaluation.volume);
  on_root(world, [&] {
    if (request.json_file) write_json(evaluation, *request.json_file);
    if (request.raw_may_not_fit) leave_out_unfit_raw(evaluation.request, labels->info());
    if (request.picture_folder) write_pictures(evaluation, *prediction, *labels, *request.picture_folder);
  });
  return evaluation;
}

}  // namespace tessera
