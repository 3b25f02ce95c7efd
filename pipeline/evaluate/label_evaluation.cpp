#include "pipeline/evaluate/label_evaluation.h"
#include "pipeline/run/prediction_meaning.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <span>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "pipeline/evaluate/label_pairs.h"
#include "pipeline/evaluate/section_sums.h"
#include "workers/metrics/components.h"
#include "workers/metrics/ignored_class.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// Voxels of a block: at most 32 MiB in memory per volume.
constexpr std::int64_t kBlockVoxels = std::int64_t{1} << 22;
/// Sections that one rank counts at once; each has its own table.
constexpr std::int64_t kMostSections = 64;

/// Calls `function(z, box, truth, predicted)` for each section of each block of the slab. The pixels are
/// spans of the volumes' types, or of `read_truth(box)`.
template <class ReadTruth, class Function>
void for_each_section_of_slab(EvaluatedVolumes& volumes, const SectionRange& slab, double& read_s,
                              ReadTruth&& read_truth, Function&& function) {
  const VolumeInfo &prediction = volumes.prediction->info(), &labels = volumes.labels->info();
  for_each_box(slab, prediction, labels, volumes.bounds, kBlockVoxels, [&](const Box& box) {
    std::optional<ScopeTimer> reading(read_s);
    const VoxelBuffer truth = read_truth(box), predicted = volumes.prediction->read(box);
    reading.reset();
    const auto pixels = static_cast<std::size_t>(box.shape().y * box.shape().x);
    for (std::int64_t z = slab.begin; z < slab.end; ++z) {
      const auto at = static_cast<std::size_t>(z - slab.begin) * pixels;
      with_integers(truth, [&](auto all_truth) {
        with_integers(predicted, [&](auto all_predicted) {
          function(z, box, all_truth.subspan(at, pixels), all_predicted.subspan(at, pixels));
        });
      });
    }
  });
}

/// The classes of a box as the network is trained on them: uint8, kIgnoredClass where they are ignored. The
/// border between instances depends on the neighbours of a pixel within the region.
VoxelBuffer class_targets(const EvaluationRequest& request, EvaluatedVolumes& volumes, const Box& box) {
  const PixelBounds& bounds = volumes.bounds;
  const Box within{{box.begin.z, bounds.y_begin, bounds.x_begin}, {box.end.z, bounds.y_end, bounds.x_end}};
  const std::int64_t margin = request.label_kind == LabelKind::instances ? 1 : 0;
  const Box read = intersection(box.grown({0, margin, margin}), within);
  const std::vector<std::uint8_t> classes =
      label_classes(volumes.labels->read(read), read, request.label_options(), request.labels);
  VoxelBuffer result(VoxelType::uint8, box.shape());
  const Index3 from = read.shape(), to = box.shape(), at = box.begin - read.begin;
  const auto targets = result.as<std::uint8_t>();
  for (std::int64_t row = 0; row < to.z * to.y; ++row) {
    const std::int64_t z = row / to.y, y = row % to.y;
    std::copy_n(classes.begin() + ((z * from.y) + at.y + y) * from.x + at.x, to.x,
                targets.begin() + row * to.x);
  }
  return result;
}

constexpr LabelId kNotScored = 0xFFFFFFFF;

/// The true objects of one section of class labels: (1, y, x) uint32, 0 outside, kNotScored where ignored.
VoxelBuffer components_of_classes(const EvaluationRequest& request, EvaluatedVolumes& volumes,
                                  const Box& section) {
  const VoxelBuffer classes = class_targets(request, volumes, section);
  const auto values = classes.as<std::uint8_t>();
  std::vector<std::uint8_t> interior(values.size());
  std::ranges::transform(values, interior.begin(), [](std::uint8_t one) { return one == 1 ? 1 : 0; });
  const Components found = label_components(interior, section.shape().y, section.shape().x);
  VoxelBuffer objects(VoxelType::uint32, section.shape());
  const auto ids = objects.as<std::uint32_t>();
  for (std::size_t i = 0; i < values.size(); ++i)
    ids[i] = values[i] == kIgnoredClass ? static_cast<std::uint32_t>(kNotScored)
                                        : static_cast<std::uint32_t>(found.labels[i]);
  return objects;
}

/// Section indices in descending order of `badness`, without undefined ones; equal ones in order of the
/// sections.
std::vector<std::int64_t> ordered_by(const std::vector<double>& badness) {
  std::vector<std::int64_t> order(badness.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::erase_if(order, [&](std::int64_t z) { return std::isnan(badness[static_cast<std::size_t>(z)]); });
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return badness[static_cast<std::size_t>(a)] > badness[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace

std::vector<std::int64_t> LabelEvaluation::from_worst() const {
  std::vector<double> badness;
  for (const LabelSums& one : section)
    badness.push_back(scores_of(one).voi);
  return ordered_by(badness);
}

namespace {

/// A probability of uint8 scored as ids would give scores that mean nothing. It changes from pixel to pixel
/// and has many values; ids are constant within objects. Errors: UsageError when the first section of the
/// prediction looks like one.
void require_ids(EvaluatedVolumes& volumes) {
  constexpr std::size_t kValues = 128;
  constexpr double kChanging = 0.25;
  constexpr std::int64_t kRows = 512;
  if (volumes.prediction->info().type != VoxelType::uint8) return;
  const PixelBounds& bounds = volumes.bounds;
  const std::int64_t z = volumes.sections.begin;
  const VoxelBuffer section =
      volumes.prediction->read({{z, bounds.y_begin, bounds.x_begin},
                                {z + 1, std::min(bounds.y_end, bounds.y_begin + kRows), bounds.x_end}});
  const auto values = section.as<std::uint8_t>();
  std::array<bool, 256> found{};
  std::size_t changing = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    found[values[i]] = true;
    changing += i > 0 && values[i] != values[i - 1] ? 1 : 0;
  }
  if (static_cast<std::size_t>(std::ranges::count(found, true)) < kValues ||
      static_cast<double>(changing) < kChanging * static_cast<double>(values.size()))
    return;
  throw UsageError(
      fmt::format("the prediction {} holds uint8 values that change from pixel to pixel, as a probability "
                  "does: it cannot be "
                  "scored as ids of objects. Score it with --kind probability, without --instances",
                  volumes.prediction->info().name.text()));
}

/// Seconds of one rank.
struct LabelSeconds {
  double read = 0, count = 0, thin = 0, reduce = 0;
};

bool are_thinned(const EvaluatedVolumes& volumes, const LabelEvaluation& evaluation) {
  return std::ssize(evaluation.section) * volumes.height() * volumes.width() <= kMostThinnedVoxels;
}

/// Collective. Scores ids of objects.
void score_ids(EvaluatedVolumes& volumes, LabelEvaluation& evaluation, LabelSeconds& seconds,
               const Communicator& world) {
  const EvaluationRequest& request = evaluation.request;
  const PixelBounds& bounds = volumes.bounds;
  const bool thins = are_thinned(volumes, evaluation);
  if (thins) evaluation.thinned.resize(evaluation.section.size());
  LabelTable table;
  on_every_rank(world, [&] {
    const ScopeTimer counting(seconds.count);
    for (const SectionRange& slab : slabs_of_rank(evaluation.sections, volumes.prediction->info(),
                                                  volumes.labels->info(), kMostSections, world)) {
      std::vector<LabelTable> sections(static_cast<std::size_t>(slab.end - slab.begin));
      for_each_section_of_slab(
          volumes, slab, seconds.read, [&](const Box& box) { return volumes.labels->read(box); },
          [&](std::int64_t z, const Box&, auto truth, auto predicted) {
            sections[static_cast<std::size_t>(z - slab.begin)].add_voxels(truth, predicted,
                                                                          request.ignore_label);
          });
      for (std::int64_t z = slab.begin; z < slab.end; ++z) {
        LabelTable& section = sections[static_cast<std::size_t>(z - slab.begin)];
        for (const LabelOverlap& one : section.overlaps())
          table.add(one.truth, one.predicted, one.voxels);
        evaluation.section[static_cast<std::size_t>(z - evaluation.sections.begin)] =
            label_sums(std::move(section), Communicator::alone());
      }
      for (std::int64_t z = slab.begin; thins && z < slab.end; ++z) {
        const ScopeTimer thinning(seconds.thin);
        const Box whole{{z, bounds.y_begin, bounds.x_begin}, {z + 1, bounds.y_end, bounds.x_end}};
        evaluation.thinned[static_cast<std::size_t>(z - evaluation.sections.begin)] =
            thinned_sums(volumes.labels->read(whole), volumes.prediction->read(whole), request.ignore_label);
      }
    }
  });
  const ScopeTimer reducing(seconds.reduce);
  evaluation.table_pairs = static_cast<std::int64_t>(table.size());
  world.sum(std::span(&evaluation.table_pairs, 1));
  evaluation.volume = label_sums(std::move(table), world, &evaluation.worst);
}

/// Collective. Scores objects whose true ones are components of classes.
void score_objects_of_classes(EvaluatedVolumes& volumes, LabelEvaluation& evaluation, LabelSeconds& seconds,
                              const Communicator& world) {
  const PixelBounds& bounds = volumes.bounds;
  if (volumes.height() * volumes.width() > kMostPixelsOfClasses) {
    throw UsageError(fmt::format(
        "{} are classes, and a section of the scored part has more than {} pixels: score a region",
        evaluation.request.labels.text(), kMostPixelsOfClasses));
  }
  const bool thins = are_thinned(volumes, evaluation);
  if (thins) evaluation.thinned.resize(evaluation.section.size());
  on_every_rank(world, [&] {
    const ScopeTimer counting(seconds.count);
    for (const SectionRange& slab : slabs_of_rank(evaluation.sections, volumes.prediction->info(),
                                                  volumes.labels->info(), kMostSections, world)) {
      for (std::int64_t z = slab.begin; z < slab.end; ++z) {
        const Box whole{{z, bounds.y_begin, bounds.x_begin}, {z + 1, bounds.y_end, bounds.x_end}};
        std::optional<ScopeTimer> reading(seconds.read);
        const VoxelBuffer truth = components_of_classes(evaluation.request, volumes, whole),
                          predicted = volumes.prediction->read(whole);
        reading.emplace(seconds.thin);
        LabelTable table;
        with_integers(predicted, [&](auto ids) {
          table.add_voxels(truth.as<std::uint32_t>(), ids, std::optional<std::uint64_t>(kNotScored));
        });
        const auto at = static_cast<std::size_t>(z - evaluation.sections.begin);
        evaluation.section[at] = label_sums(std::move(table), Communicator::alone());
        if (thins) evaluation.thinned[at] = thinned_sums(truth, predicted, kNotScored);
      }
    }
  });
}

}  // namespace

LabelEvaluation evaluate_labels(const EvaluationRequest& request, const Communicator& world) {
  const double begin_s = seconds_now();
  LabelEvaluation evaluation;
  evaluation.request = request;
  EvaluatedVolumes volumes;
  on_every_rank(world, [&] { volumes = open_evaluated(request, EvaluationKind::labels); });
  on_root(world, [&] { require_ids(volumes); });
  const auto& attributes = volumes.prediction->info().attributes;
  const auto within = attributes.find(kObjectsWithin);
  evaluation.within_sections = within != attributes.end() && within->second == kWithinSections;
  evaluation.sections = volumes.sections;
  evaluation.bounds = volumes.bounds;
  evaluation.section.resize(static_cast<std::size_t>(evaluation.sections.end - evaluation.sections.begin));
  LabelSeconds seconds;
  if (request.objects_of_classes)
    score_objects_of_classes(volumes, evaluation, seconds, world);
  else
    score_ids(volumes, evaluation, seconds, world);
  {
    const ScopeTimer reducing(seconds.reduce);
    add_up(world, evaluation.section);
    add_up(world, evaluation.thinned);
  }
  for (const LabelSums& one : evaluation.section)
    evaluation.pooled += one;
  evaluation.run = evaluation_run(begin_s,
                                  {{"read", seconds.read},
                                   {"count", seconds.count - seconds.read - seconds.thin},
                                   {"thin", seconds.thin},
                                   {"reduce", seconds.reduce}},
                                  world);
  on_root(world, [&] {
    if (request.json_file) write_text_file(*request.json_file, evaluation_json(evaluation));
  });
  return evaluation;
}

std::vector<std::int64_t> ClassEvaluation::from_worst() const {
  std::vector<double> badness;
  for (const ConfusionMatrix& one : section)
    badness.push_back(-scores_of(one).mean_iou);
  return ordered_by(badness);
}

ClassEvaluation evaluate_classes(const EvaluationRequest& request, const Communicator& world) {
  const double begin_s = seconds_now();
  ClassEvaluation evaluation;
  evaluation.request = request;
  EvaluatedVolumes volumes;
  on_every_rank(world, [&] { volumes = open_evaluated(request, EvaluationKind::classes); });
  evaluation.sections = volumes.sections;
  evaluation.bounds = volumes.bounds;
  const auto depth = static_cast<std::size_t>(evaluation.sections.end - evaluation.sections.begin);
  double read_s = 0, count_s = 0;
  std::vector<ConfusionMatrix> sections(depth, ConfusionMatrix(1));
  std::int64_t classes = 1;
  on_every_rank(world, [&] {
    const ScopeTimer counting(count_s);
    for (const SectionRange& slab : slabs_of_rank(evaluation.sections, volumes.prediction->info(),
                                                  volumes.labels->info(), kMostSections, world)) {
      std::vector<ConfusionMatrix> counted(static_cast<std::size_t>(slab.end - slab.begin));
      const auto read_truth = [&](const Box& box) {
        return request.has_targets() ? class_targets(request, volumes, box) : volumes.labels->read(box);
      };
      const std::optional<LabelId> ignored =
          request.has_targets() ? LabelId{kIgnoredClass} : request.ignore_label;
      for_each_section_of_slab(
          volumes, slab, read_s, read_truth, [&](std::int64_t z, const Box& box, auto truth, auto predicted) {
            ConfusionMatrix& matrix = counted[static_cast<std::size_t>(z - slab.begin)];
            for (std::size_t i = 0; i < truth.size(); ++i) {
              const std::uint64_t a = truth[i], b = predicted[i];
              if (ignored && a == *ignored) continue;
              if (std::max(a, b) >= static_cast<std::uint64_t>(kMostClasses)) {
                const auto at = static_cast<std::int64_t>(i), width = box.shape().x;
                throw Error(fmt::format(
                    "{} at section {}, (y, x) = ({}, {}) is {}: class ids go up to {} (are these ids of "
                    "objects? then evaluate.kind is labels)",
                    a >= b ? request.labels.text() : request.prediction.text(), z, box.begin.y + at / width,
                    box.begin.x + at % width, std::max(a, b), kMostClasses - 1));
              }
              matrix.add(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b));
            }
          });
      for (std::int64_t z = slab.begin; z < slab.end; ++z) {
        ConfusionMatrix& matrix = sections[static_cast<std::size_t>(z - evaluation.sections.begin)];
        matrix = counted[static_cast<std::size_t>(z - slab.begin)].trimmed();
        classes = std::max(classes, matrix.classes);
      }
    }
  });
  // The largest number of classes over all ranks.
  std::vector<std::int64_t> met(static_cast<std::size_t>(kMostClasses) + 1, 0);
  met[static_cast<std::size_t>(classes)] = 1;
  world.sum(std::span(met));
  for (std::int64_t count = 1; count <= kMostClasses; ++count) {
    if (met[static_cast<std::size_t>(count)] > 0) classes = count;
  }
  evaluation.matrix = ConfusionMatrix(classes);
  for (const ConfusionMatrix& mine : sections) {
    ConfusionMatrix whole(classes);
    for (std::int64_t truth = 0; truth < mine.classes; ++truth) {
      for (std::int64_t predicted = 0; predicted < mine.classes; ++predicted) {
        whole.add(truth, predicted, mine.at(truth, predicted));
      }
    }
    world.sum(std::span(whole.counts));
    evaluation.matrix += whole;
    evaluation.section.push_back(std::move(whole));
  }
  evaluation.run = evaluation_run(begin_s, {{"read", read_s}, {"count", count_s - read_s}}, world);
  on_root(world, [&] {
    if (request.json_file) write_text_file(*request.json_file, evaluation_json(evaluation));
  });
  return evaluation;
}

}  // namespace tessera
