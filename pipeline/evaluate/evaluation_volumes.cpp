#include "pipeline/evaluate/evaluation_volumes.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <span>
#include <utility>

#include "io/base/clock.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "io/volume/placed_volume.h"
#include "pipeline/run/prediction_meaning.h"
#include "workers/samples/training_data.h"

namespace tessera {
namespace {

void require_one_channel(const VolumeInfo& info) {
  if (info.channels == 1) return;
  throw UsageError(fmt::format("{} has {} channels: evaluate reads volumes with one channel",
                               info.name.text(), info.channels));
}

/// The larger chunk side of the two volumes for each axis; 1 without chunks.
Index3 chunk_of(const VolumeInfo& prediction, const VolumeInfo& labels) {
  Index3 chunk{1, 1, 1};
  for (const VolumeInfo* info : {&prediction, &labels}) {
    for (int axis = 0; axis < 3 && info->chunk; ++axis)
      chunk[axis] = std::max(chunk[axis], (*info->chunk)[axis]);
  }
  return chunk;
}

std::int64_t peak_memory_of_process() {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    std::int64_t kib = 0;
    if (name == "VmHWM:" && status >> kib) return kib * 1024;
    status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

/// Options that do not go with the kind. Errors: UsageError.
void require_fitting_options(const EvaluationRequest& request, EvaluationKind kind) {
  if (kind != EvaluationKind::probability) {
    const std::string taken_as = fmt::format("{} is taken as {}: ", request.prediction.text(), name_of(kind));
    const bool made_classes = kind == EvaluationKind::classes && request.has_targets();
    const bool may_choose = request.objects_of_classes, may_invert = made_classes || may_choose;
    if ((request.invert_labels && !may_invert) || (request.label_class && !may_choose)) {
      throw UsageError(taken_as + "inverting labels and choosing a class go with a probability only");
    }
    if (request.scores) throw UsageError(taken_as + "a choice of scores goes with a probability only");
  }
  if (request.label_class && request.label_kind == LabelKind::instances)
    throw UsageError("choosing a class goes with label_kind: classes: instances are not classes");
}

/// The sections and pixels that are scored.
Box scored_box(const EvaluatedVolumes& volumes) {
  return {{volumes.sections.begin, volumes.bounds.y_begin, volumes.bounds.x_begin},
          {volumes.sections.end, volumes.bounds.y_end, volumes.bounds.x_end}};
}

/// Moves both volumes into the request's frame, and finds what is to be scored of them. Errors: UsageError.
void place(const EvaluationRequest& request, EvaluatedVolumes& volumes) {
  volumes.frame = request.frame.value_or(volumes.labels->info());
  // As in training: a raw volume without an offset begins at 0.
  if (request.frame && volumes.frame.offset_nm.empty()) volumes.frame.offset_nm.assign(3, 0);
  const std::string frame_role = request.frame ? "raw volume" : "labels";
  const VolumeInfo predicted = volumes.prediction->info();
  PlacedVolume prediction = placed_on(std::move(volumes.prediction), "prediction", volumes.frame, frame_role);
  if (!request.frame && volumes.frame.offset_nm.empty() && prediction.covered.shape() != predicted.shape) {
    throw UsageError(
        fmt::format("the prediction {} has the shape {}, of which the labels {} of shape {} cover {} only: "
                    "they must be equal, or "
                    "an attribute 'offset' (in nm) must place the labels",
                    predicted.name.text(), to_string(predicted.shape), volumes.frame.name.text(),
                    to_string(volumes.frame.shape), to_string(prediction.covered)));
  }
  PlacedVolume labels = placed_on(std::move(volumes.labels), "labels", volumes.frame, frame_role);
  volumes.prediction = std::move(prediction.volume);
  volumes.labels = std::move(labels.volume);
  const Index3 shape = volumes.frame.shape;
  const SectionRange sections = request.sections.value_or(SectionRange{0, shape.z});
  if (sections.begin < 0 || sections.end > shape.z || sections.begin >= sections.end) {
    throw UsageError(fmt::format("sections {}:{} are not in {}, whose sections are 0:{}", sections.begin,
                                 sections.end, volumes.frame.name.text(), shape.z));
  }
  if (request.region) require_region(*request.region, volumes.frame, "region");
  const PixelBounds region = request.region.value_or(PixelBounds{0, 0, shape.y, shape.x});
  const Box asked{{sections.begin, region.y_begin, region.x_begin},
                  {sections.end, region.y_end, region.x_end}};
  const Box scored = intersection(asked, intersection(prediction.covered, labels.covered));
  if (scored.empty()) {
    throw UsageError(fmt::format(
        "nothing can be scored of {}: in {}, the prediction {} covers {}, and the labels {} cover {}",
        to_string(asked), volumes.frame.name.text(), request.prediction.text(), to_string(prediction.covered),
        request.labels.text(), to_string(labels.covered)));
  }
  volumes.sections = {scored.begin.z, scored.end.z};
  volumes.bounds = {scored.begin.y, scored.begin.x, scored.end.y, scored.end.x};
}

}  // namespace

EvaluationKind kind_of(const EvaluationRequest& request, const VolumeInfo& prediction) {
  using Values = PredictionMeaning::Values;
  const Values values = meaning_of(prediction).values;
  if (values != Values::unknown) {
    const EvaluationKind own =
        values == Values::classes ? EvaluationKind::classes : EvaluationKind::probability;
    if (request.kind == EvaluationKind::automatic || request.kind == own) return own;
    throw UsageError(
        fmt::format("{} says of itself '{}' (attribute 'meaning'): it cannot be scored as {}. Leave "
                    "evaluate.kind (--kind) at auto, or name another prediction.",
                    prediction.name.text(), prediction.attributes.at("meaning"), name_of(request.kind)));
  }
  const bool is_float = prediction.type == VoxelType::float32;
  const bool is_wide = prediction.type == VoxelType::uint32 || prediction.type == VoxelType::uint64;
  switch (request.kind) {
    case EvaluationKind::automatic:
      return is_wide ? EvaluationKind::labels : EvaluationKind::probability;
    case EvaluationKind::probability:
      if (!is_wide) break;
      throw UsageError(
          fmt::format("the prediction {} holds {}: a probability is float, uint8 or uint16 (are "
                      "prediction and labels swapped?)",
                      prediction.name.text(), prediction.type_text()));
    case EvaluationKind::labels:
    case EvaluationKind::classes:
      if (!is_float) break;
      throw UsageError(fmt::format(
          "the prediction {} holds {}: {} are integers. If it is a probability, pass --kind probability",
          prediction.name.text(), prediction.type_text(),
          request.kind == EvaluationKind::labels ? "labels" : "class ids"));
  }
  return request.kind;
}

void require_probability_by_look(const VolumeInfo& prediction) {
  constexpr std::int64_t kSide = 1024;
  const Index3 shape = prediction.shape;
  const Index3 begin{shape.z / 2, std::max<std::int64_t>(0, (shape.y - kSide) / 2),
                     std::max<std::int64_t>(0, (shape.x - kSide) / 2)};
  const Box box{begin, {begin.z + 1, std::min(begin.y + kSide, shape.y), std::min(begin.x + kSide, shape.x)}};
  if (!looks_like_ids(open_volume(prediction.name)->read(box))) return;
  throw UsageError(
      fmt::format("the prediction {} holds {} and does not say what they are; they look like ids or classes: "
                  "pass --kind labels for ids of objects, --kind classes, or --kind probability "
                  "(evaluate.kind)",
                  prediction.name.text(), prediction.type_text()));
}

EvaluatedVolumes open_evaluated(const EvaluationRequest& request, EvaluationKind kind) {
  EvaluatedVolumes volumes;
  // Labels and classes are read by blocks of whole chunks, so a cache of chunks would be useless. Not where
  // blocks have a margin, or volumes are placed in another one.
  const bool whole_chunks = kind != EvaluationKind::probability && !request.has_targets() && !request.frame;
  const ReadOptions options = whole_chunks ? ReadOptions{.chunk_cache_bytes = 0} : ReadOptions{};
  volumes.prediction = open_volume(request.prediction, options);
  volumes.labels = open_labels(request.labels, options);
  EvaluationRequest asked = request;
  asked.kind = kind;
  kind_of(asked, volumes.prediction->info());
  if (!request.any_channels) require_one_channel(volumes.prediction->info());
  require_one_channel(volumes.labels->info());
  require_fitting_options(request, kind);
  place(request, volumes);
  return volumes;
}

std::unique_ptr<Volume> open_fitting_raw(const DatasetName& name, const EvaluatedVolumes& volumes) {
  std::unique_ptr<Volume> raw = open_volume(name);
  require_one_channel(raw->info());
  PlacedVolume placed = placed_on(std::move(raw), "raw volume", volumes.frame, "evaluated volume");
  if (!placed.covered.contains(scored_box(volumes)))
    throw UsageError(fmt::format("{} covers {} of the evaluated volume, {} of it is scored", name.text(),
                                 to_string(placed.covered), to_string(scored_box(volumes))));
  return std::move(placed.volume);
}

std::vector<SectionRange> slabs_of_rank(const SectionRange& sections, const VolumeInfo& prediction,
                                        const VolumeInfo& labels, std::int64_t most_sections,
                                        const Communicator& world) {
  const std::int64_t each = ceil_div(sections.end - sections.begin, world.size());
  const std::int64_t depth =
      std::clamp<std::int64_t>(std::min(most_sections, each), 1, chunk_of(prediction, labels).z);
  std::vector<SectionRange> mine;
  for (std::int64_t slab = sections.begin / depth + world.rank(); slab * depth < sections.end;
       slab += world.size()) {
    mine.push_back({std::max(slab * depth, sections.begin), std::min((slab + 1) * depth, sections.end)});
  }
  return mine;
}

void for_each_box(const SectionRange& slab, const VolumeInfo& prediction, const VolumeInfo& labels,
                  const PixelBounds& bounds, std::int64_t most_voxels,
                  const std::function<void(const Box&)>& function) {
  const Index3 shape{1, bounds.y_end - bounds.y_begin, bounds.width()}, chunk = chunk_of(prediction, labels);
  // As wide as possible, then as high: whole rows are the fastest.
  const auto side = [](std::int64_t room, std::int64_t chunk_side, std::int64_t whole) {
    return std::min(std::max(round_down(room, chunk_side), chunk_side), whole);
  };
  const std::int64_t room = std::max<std::int64_t>(most_voxels / (slab.end - slab.begin), 1);
  const std::int64_t width = side(room / std::min(chunk.y, shape.y), chunk.x, shape.x);
  const std::int64_t height = side(room / width, chunk.y, shape.y);
  // On the grid of chunks, cut at the bounds.
  for (std::int64_t y = round_down(bounds.y_begin, height); y < bounds.y_end; y += height) {
    for (std::int64_t x = round_down(bounds.x_begin, width); x < bounds.x_end; x += width) {
      function({{slab.begin, std::max(y, bounds.y_begin), std::max(x, bounds.x_begin)},
                {slab.end, std::min(y + height, bounds.y_end), std::min(x + width, bounds.x_end)}});
    }
  }
}

EvaluationRun evaluation_run(double begin_s, const std::vector<std::pair<std::string, double>>& stages,
                             const Communicator& world) {
  EvaluationRun run;
  run.ranks = world.size();
  std::array largest{seconds_now() - begin_s, static_cast<double>(peak_memory_of_process())};
  world.maximum(std::span(largest));
  run.elapsed_s = largest[0];
  run.peak_memory_bytes = static_cast<std::int64_t>(largest[1]);
  std::vector<double> sums;
  sums.reserve(stages.size());
  for (const auto& [name, seconds] : stages)
    sums.push_back(seconds);
  world.sum(std::span(sums));
  for (std::size_t i = 0; i < stages.size(); ++i)
    run.stage_s.emplace_back(stages[i].first, sums[i]);
  return run;
}

}  // namespace tessera
