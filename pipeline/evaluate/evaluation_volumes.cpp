#include "pipeline/evaluate/evaluation_volumes.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <span>

#include "io/base/clock.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/stores/open_volume.h"

namespace tessera {
namespace {

void require_same_shape(const VolumeInfo& one, const std::string& role, const VolumeInfo& labels) {
  if (one.shape == labels.shape) return;
  throw UsageError(fmt::format("the {} {} has the shape {}, the labels {} have {}: they must be equal", role,
                               one.name.text(), to_string(one.shape), labels.name.text(),
                               to_string(labels.shape)));
}

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

}  // namespace

EvaluationKind kind_of(const EvaluationRequest& request, const VolumeInfo& prediction) {
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
                      prediction.name.text(), name_of(prediction.type)));
    case EvaluationKind::labels:
    case EvaluationKind::classes:
      if (!is_float) break;
      throw UsageError(fmt::format(
          "the prediction {} holds floating point: {} are integers (is it a probability?)",
          prediction.name.text(), request.kind == EvaluationKind::labels ? "labels" : "class ids"));
  }
  return request.kind;
}

SectionRange checked_sections(const EvaluationRequest& request, EvaluationKind kind,
                              const VolumeInfo& prediction, const VolumeInfo& labels) {
  require_one_channel(prediction);
  require_one_channel(labels);
  require_same_shape(prediction, "prediction", labels);
  if (labels.type == VoxelType::float32) {
    throw UsageError(
        fmt::format("the labels {} hold floating point, not integers (are prediction and labels "
                    "swapped?)",
                    labels.name.text()));
  }
  if (kind != EvaluationKind::probability) {
    const std::string taken_as = fmt::format("{} is taken as {}: ", prediction.name.text(), name_of(kind));
    if (request.invert_labels || request.label_class) {
      throw UsageError(taken_as + "inverting labels and choosing a class go with a probability only");
    }
    if (request.scores) throw UsageError(taken_as + "a choice of scores goes with a probability only");
  }
  if (request.raw && !request.raw_may_not_fit) require_fitting_raw(*request.raw, labels);
  const SectionRange all{0, labels.shape.z};
  const SectionRange sections = request.sections.value_or(all);
  if (sections.begin < 0 || sections.end > all.end || sections.begin >= sections.end) {
    throw UsageError(fmt::format("sections {}:{} are not in {}, whose sections are 0:{}", sections.begin,
                                 sections.end, labels.name.text(), all.end));
  }
  return sections;
}

void require_fitting_raw(const DatasetName& name, const VolumeInfo& labels) {
  const VolumeInfo raw = read_volume_info(name);
  require_one_channel(raw);
  require_same_shape(raw, "raw volume", labels);
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
                  std::int64_t most_voxels, const std::function<void(const Box&)>& function) {
  const Index3 shape = labels.shape, chunk = chunk_of(prediction, labels);
  // As wide as possible, then as high: whole rows are the fastest.
  const auto side = [](std::int64_t room, std::int64_t chunk_side, std::int64_t whole) {
    return std::min(std::max(round_down(room, chunk_side), chunk_side), whole);
  };
  const std::int64_t room = std::max<std::int64_t>(most_voxels / (slab.end - slab.begin), 1);
  const std::int64_t width = side(room / std::min(chunk.y, shape.y), chunk.x, shape.x);
  const std::int64_t height = side(room / width, chunk.y, shape.y);
  for (std::int64_t y = 0; y < shape.y; y += height) {
    for (std::int64_t x = 0; x < shape.x; x += width) {
      function({{slab.begin, y, x}, {slab.end, std::min(y + height, shape.y), std::min(x + width, shape.x)}});
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
  for (const auto& [name, seconds] : stages)
    sums.push_back(seconds);
  world.sum(std::span(sums));
  for (std::size_t i = 0; i < stages.size(); ++i)
    run.stage_s.emplace_back(stages[i].first, sums[i]);
  return run;
}

}  // namespace tessera
