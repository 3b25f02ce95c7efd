#include "pipeline/evaluate/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <span>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/log.h"
#include "io/stores/open_volume.h"
#include "pipeline/evaluate/evaluation_report.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// The most that a rank holds of a volume.
constexpr std::int64_t kSlabBytes = std::int64_t{128} << 20;
/// Rounding may carry a mean of probabilities this far out of [0, 1].
constexpr float kProbabilitySlack = 1e-5F;

/// The raw volume for the pictures; null without one. One that does not fit may be no error: the pictures
/// then show the probability.
std::unique_ptr<Volume> raw_for_pictures(const EvaluationRequest& request, const EvaluatedVolumes& volumes) {
  if (!request.raw) return nullptr;
  if (!request.raw_may_not_fit) return open_fitting_raw(*request.raw, volumes);
  try {
    return open_fitting_raw(*request.raw, volumes);
  } catch (const Error& error) {
    spdlog::warn("the pictures are drawn without the raw volume: {}", error.what());
    return nullptr;
  }
}

void require_probability(std::span<const float> section, std::int64_t z, const PixelBounds& bounds,
                         const DatasetName& name) {
  const auto wrong = std::find_if(section.begin(), section.end(), [](float value) {
    return !(value >= -kProbabilitySlack && value <= 1 + kProbabilitySlack);  // true for NaN too
  });
  if (wrong == section.end()) return;
  const std::int64_t at = wrong - section.begin();
  throw Error(fmt::format("{} at section {}, (y, x) = ({}, {}) is {}, not a probability in [0, 1]{}",
                          name.text(), z, bounds.y_begin + at / bounds.width(),
                          bounds.x_begin + at % bounds.width(), *wrong,
                          *wrong == *wrong ? " (are these scores before the softmax?)" : ""));
}

/// The times of a rank's steps.
struct Stages {
  double read_s = 0, calibration_s = 0, total_s = 0;
  ScoreSeconds section;

  std::vector<std::pair<std::string, double>> named() const {
    return {{"read", read_s},
            {"rand", section.rand},
            {"thin", section.thin},
            {"warping", section.warping},
            {"calibration", calibration_s},
            {"all", total_s}};
  }
};

/// Scores the slabs of this rank into `evaluation`, whose sums are 0 elsewhere.
void score_slabs(const Communicator& world, EvaluatedVolumes& volumes, Evaluation& evaluation,
                 Stages& stages) {
  const ScopeTimer total(stages.total_s);
  const EvaluationRequest& request = evaluation.request;
  Volume &prediction = *volumes.prediction, &labels = *volumes.labels;
  const PixelBounds& bounds = volumes.bounds;
  const std::int64_t height = volumes.height(), width = volumes.width();
  const auto pixels = static_cast<std::size_t>(height * width);
  const std::int64_t section_bytes =
      height * width * std::max(size_of(prediction.info().type), size_of(labels.info().type));
  for (const SectionRange& slab : slabs_of_rank(evaluation.sections, prediction.info(), labels.info(),
                                                kSlabBytes / section_bytes, world)) {
    std::optional<ScopeTimer> reading(stages.read_s);
    const Box box{{slab.begin, bounds.y_begin, bounds.x_begin}, {slab.end, bounds.y_end, bounds.x_end}};
    const VoxelBuffer probability = prediction.read(box);
    const std::vector<std::uint8_t> truth =
        label_classes(labels.read(box), box, request.label_options(), request.labels);
    reading.reset();
    for (std::int64_t z = slab.begin; z < slab.end; ++z) {
      const std::size_t at = static_cast<std::size_t>(z - slab.begin) * pixels;
      const auto truth_section = std::span(truth).subspan(at, pixels);
      const std::int64_t index = z - evaluation.sections.begin;
      const auto score = [&]<class T>(std::span<const T> volume) {
        const auto section = volume.subspan(at, pixels);
        if constexpr (std::is_same_v<T, float>) require_probability(section, z, bounds, request.prediction);
        const auto sums = score_section<T>(section, truth_section, height, width, evaluation.table.thresholds,
                                           evaluation.scores.section, &stages.section);
        std::copy(sums.begin(), sums.end(), evaluation.table.section(index).begin());
        if (!evaluation.scores.calibration) return;
        const ScopeTimer calibrating(stages.calibration_s);
        evaluation.calibration[static_cast<std::size_t>(index)] =
            calibrate_section<T>(section, truth_section, evaluation.histogram);
      };
      if (probability.type == VoxelType::uint8)
        score(probability.as<std::uint8_t>());
      else if (probability.type == VoxelType::uint16)
        score(probability.as<std::uint16_t>());
      else
        score(probability.as<float>());
    }
  }
}

/// Collective. Adds up the sums of all ranks; each section is 0 on all ranks but one.
void add_up(const Communicator& world, Evaluation& evaluation) {
  std::vector<double> sums = evaluation.table.flat();
  world.sum(std::span(sums));
  evaluation.table.set_flat(sums);
  world.sum(std::span(evaluation.histogram.counts));
  std::vector<double> calibration;
  for (const CalibrationSums& section : evaluation.calibration) {
    for (const ReliabilityBin& bin : section.bins) {
      calibration.insert(calibration.end(), {bin.pixels, bin.interior, bin.probability});
    }
    calibration.push_back(section.squared_error);
  }
  world.sum(std::span(calibration));
  auto next = calibration.begin();
  for (CalibrationSums& section : evaluation.calibration) {
    for (ReliabilityBin& bin : section.bins) {
      bin = {next[0], next[1], next[2]};
      next += 3;
    }
    section.squared_error = *next++;
  }
}

std::size_t best_of(std::span<const ThresholdSums> sums, double (*score)(const ThresholdScores&)) {
  const auto best = std::max_element(sums.begin(), sums.end(), [score](const auto& a, const auto& b) {
    return is_lower(score(scores_of(a)), score(scores_of(b)));
  });
  return static_cast<std::size_t>(best - sums.begin());
}

}  // namespace

std::size_t Evaluation::best_f(std::int64_t section) const {
  return best_of(table.section(section), [](const ThresholdScores& s) { return s.f; });
}

std::size_t Evaluation::best_rand(std::int64_t section) const {
  return best_of(table.section(section), [](const ThresholdScores& s) { return s.rand.f; });
}

std::vector<std::int64_t> Evaluation::from_worst() const {
  std::vector<double> f;
  for (std::int64_t z = 0; z < table.sections; ++z)
    f.push_back(is_judged(z) ? scores_of(table.section(z)[best_f(z)]).f : kUndefined);
  std::vector<std::int64_t> order(f.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::erase_if(order, [&](std::int64_t z) { return std::isnan(f[static_cast<std::size_t>(z)]); });
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return f[static_cast<std::size_t>(a)] < f[static_cast<std::size_t>(b)];
  });
  return order;
}

Evaluation evaluate_volumes(const EvaluationRequest& request, const Communicator& world) {
  const double begin_s = seconds_now();
  const std::vector<double> thresholds = accumulated_thresholds(request.thresholds);
  Evaluation evaluation{.request = request,
                        .scores = {},
                        .sections = {},
                        .bounds = {},
                        .table = {thresholds, 0},
                        .volume = {},
                        .best = {},
                        .histogram = ProbabilityHistogram(0),
                        .calibration = {},
                        .run = {}};
  evaluation.request.kind = EvaluationKind::probability;
  EvaluatedVolumes volumes;
  std::unique_ptr<Volume> raw;  // on the root only
  on_every_rank(world, [&] {
    volumes = open_evaluated(request, EvaluationKind::probability);
    const bool needs_raw = request.picture_folder || !request.raw_may_not_fit;
    if (world.is_root() && needs_raw) raw = raw_for_pictures(request, volumes);
  });
  evaluation.sections = volumes.sections;
  evaluation.bounds = volumes.bounds;
  const std::int64_t sections = evaluation.sections.end - evaluation.sections.begin;
  evaluation.scores =
      request.scores.value_or(automatic_scores(sections * volumes.height() * volumes.width()));
  if (!request.scores && !evaluation.scores.section.warping && world.is_root()) {
    spdlog::info(
        "{} sections of {} x {} are many pixels: thinned and warping scores are left out; "
        "evaluate.scores or --scores turns them on",
        sections, volumes.height(), volumes.width());
  }
  evaluation.table = ThresholdTable(thresholds, sections);
  if (evaluation.scores.calibration) {
    evaluation.histogram =
        ProbabilityHistogram(volumes.prediction->info().type == VoxelType::uint8 ? 256 : 4096);
    evaluation.calibration.resize(static_cast<std::size_t>(sections));
  }
  Stages stages;
  on_every_rank(world, [&] { score_slabs(world, volumes, evaluation, stages); });
  add_up(world, evaluation);
  evaluation.volume = volume_scores(evaluation.table);
  evaluation.best = best_thresholds(evaluation.volume);
  evaluation.run = evaluation_run(begin_s, stages.named(), world);
  on_root(world, [&] {
    if (request.json_file) write_text_file(*request.json_file, evaluation_json(evaluation));
    if (request.picture_folder) write_pictures(evaluation, volumes, raw.get(), *request.picture_folder);
  });
  return evaluation;
}

}  // namespace tessera
