#include "pipeline/segment/segmentation_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/stores/result_completeness.h"
#include "pipeline/blocks/input_files.h"
#include "pipeline/run/prediction_meaning.h"
#include "pipeline/segment/affinity_offsets.h"

namespace tessera {
namespace {

constexpr std::int64_t kMostBlockVoxels = std::int64_t{1} << 30;

/// Errors: UsageError for a volume that cannot be segmented.
void require_segmentable(const SegmentConfig& config, const SegmentationInputs& inputs) {
  const VolumeInfo& prediction = inputs.prediction;
  const std::string name = prediction.name.text(), type = prediction.type_text();
  if (prediction.channels != 1 && config.input != SegmentInput::affinities) {
    throw UsageError(
        fmt::format("segment.prediction: {} has {} channels; a probability is (z, y, x). Set segment.input: "
                    "affinities for affinities",
                    name, prediction.channels));
  }
  constexpr std::array kProbabilities{"uint8", "uint16", "float16", "float32"};
  if (!config.of_labels && std::ranges::find(kProbabilities, type) == kProbabilities.end()) {
    throw UsageError(fmt::format(
        "segment.prediction: {} is {}; a probability is uint8, uint16, float16 or float32{}", name, type,
        config.method == SegmentMethod::components ? ". Set segment.components_of: labels for labels" : ""));
  }
  if (!config.of_labels && meaning_of(prediction).values == PredictionMeaning::Values::classes) {
    throw UsageError(fmt::format(
        "segment.prediction: {} holds the predicted class of each voxel, not a probability: predict with "
        "infer.write: probability",
        name));
  }
  if (const ResultCompleteness found = completeness_of(prediction); !found.complete()) {
    throw UsageError(
        fmt::format("segment.prediction: {} is incomplete: {}. Finish it first", name, found.problem));
  }
  if (inputs.mask && (inputs.mask->shape != prediction.shape || inputs.mask->channels != 1)) {
    throw UsageError(fmt::format(
        "segment.mask: {} has shape {}, the prediction {} has {}: they must be equal",
        inputs.mask->name.text(), to_string(inputs.mask->shape), name, to_string(prediction.shape)));
  }
  if (volume_of(prediction.shape) >= std::int64_t{1} << 59)
    throw UsageError(fmt::format("segment.prediction: {} has 2^59 voxels or more: set segment.region", name));
}

SegmentMode mode_of(const SegmentConfig& config, const VolumeInfo& prediction) {
  if (config.method == SegmentMethod::components) return SegmentMode::volume;
  if (config.mode) return *config.mode;
  const std::vector<double>& resolution = prediction.resolution_nm;
  if (resolution.size() != 3) {
    throw UsageError(
        fmt::format("segment.mode: auto needs the attribute 'resolution', which {} lacks: set segment.mode "
                    "to volume, or to "
                    "sections for thick sections",
                    prediction.name.text()));
  }
  return resolution[0] >= 3 * std::max(resolution[1], resolution[2]) ? SegmentMode::sections
                                                                     : SegmentMode::volume;
}

Box region_of(const SegmentConfig& config, const VolumeInfo& prediction) {
  const Box region{config.region_begin.value_or(Index3{}), config.region_end.value_or(prediction.shape)};
  if (region.empty() || !Box::of_shape(prediction.shape).contains(region)) {
    throw UsageError(fmt::format("segment.region: {} is not within {}, whose shape is {}", to_string(region),
                                 prediction.name.text(), to_string(prediction.shape)));
  }
  return region;
}

Index3 smaller_sides(const Index3& a, const Index3& b) {
  return {std::min(a.z, b.z), std::min(a.y, b.y), std::min(a.x, b.x)};
}

Index3 chunk_of(const SegmentConfig& config, const SegmentationPlan& plan, const VolumeInfo& prediction) {
  const Index3 shape = plan.region.shape();
  if (config.chunk) {
    if (!Box::of_shape(shape).contains(Box::of_shape(*config.chunk))) {
      throw UsageError(fmt::format("segment.chunk: {} is larger than the region's shape {}",
                                   to_string(*config.chunk), to_string(shape)));
    }
    return *config.chunk;
  }
  const Index3 usual = plan.mode == SegmentMode::sections ? Index3{8, 256, 256} : Index3{64, 64, 64};
  if (!prediction.chunk) return smaller_sides(usual, shape);
  const std::int64_t voxels = volume_of(*prediction.chunk);
  const bool is_usable = voxels >= 1 << 10 && voxels <= 1 << 24;
  return smaller_sides(is_usable ? *prediction.chunk : usual, shape);
}

BlockPlan blocks_of(const SegmentConfig& config, const SegmentationPlan& plan) {
  const Index3 shape = plan.region.shape();
  const bool fills = plan.components && plan.components->fill_holes;
  const Index3 usual = fills                                ? Index3{8, shape.y, shape.x}
                       : plan.mode == SegmentMode::sections ? Index3{8, 2048, 2048}
                                                            : Index3{512, 512, 512};
  const Index3 wanted = config.block.value_or(usual);
  if (fills && (wanted.y < shape.y || wanted.x < shape.x)) {
    throw UsageError(
        fmt::format("segment.block: {} does not hold whole sections of {}, which segment.fill_holes needs: "
                    "remove block, or "
                    "set its y and x to those of a section",
                    to_string(wanted), to_string(shape)));
  }
  Index3 block;
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t whole = round_up(shape[axis], plan.chunk[axis]);
    if (config.block && wanted[axis] < shape[axis] && wanted[axis] % plan.chunk[axis] != 0) {
      throw UsageError(
          fmt::format("segment.block: {} does not consist of whole chunks of {}: change it, or segment.chunk",
                      to_string(wanted), to_string(plan.chunk)));
    }
    block[axis] = std::min(round_up(wanted[axis], plan.chunk[axis]), whole);
  }
  if (volume_of(block) > kMostBlockVoxels && fills) {
    throw UsageError(fmt::format(
        "segment.fill_holes: whole sections make a block of {}, more than 2^30 voxels: remove fill_holes, "
        "or set a segment.chunk of fewer sections",
        to_string(block)));
  }
  if (volume_of(block) > kMostBlockVoxels) {
    throw UsageError(fmt::format("segment.block: a block of {} has more than 2^30 voxels: set a smaller one",
                                 to_string(block)));
  }
  if (const std::string problem = BlockPlan::problem_of(Box::of_shape(shape), block); !problem.empty())
    throw UsageError("segment.block: " + problem);
  return BlockPlan(shape, block);
}

MergeOptions merges_of(const SegmentConfig& config, SegmentMode mode) {
  MergeOptions merge;
  merge.linkage = config.linkage;
  merge.link_millionths = std::llround(config.link_jaccard * 1e6);
  merge.link_mutual = config.link_mutual;
  merge.small_size = config.small_size;
  merge.min_size = config.min_size;
  merge.compact_ids = config.compact_ids;
  if (config.method == SegmentMethod::components) return merge;
  bool linked = mode == SegmentMode::volume;
  const auto link = [&] {
    if (!linked) merge.stages.push_back({MergeStage::Kind::link});
    linked = true;
  };
  for (const double threshold : config.thresholds) {
    if (threshold < config.link_below) link();
    merge.stages.push_back(threshold_stage(threshold));
  }
  link();
  if (config.small_size > 0)
    merge.stages.push_back({MergeStage::Kind::small, score_of_probability(config.small_threshold)});
  return merge;
}

ComponentOptions components_of(const SegmentConfig& config) {
  ComponentOptions components;
  components.neighbours = static_cast<int>(config.connectivity);
  components.fill_holes = config.fill_holes;
  if (!config.of_labels) components.threshold = weight_of_probability(config.threshold);
  return components;
}

/// "of neighbours along z, y, x in the channels 0, 1, 2".
std::string affinities_text(const SegmentationPlan& plan) {
  const auto& channel = plan.graph.affinities->channel;
  if (plan.mode == SegmentMode::sections)
    return fmt::format("of neighbours along y, x in the channels {}, {}", channel[1], channel[2]);
  return fmt::format("of neighbours along z, y, x in the channels {}", fmt::join(channel, ", "));
}

}  // namespace

std::int64_t SegmentationPlan::memory_per_worker(std::int64_t voxel_bytes) const {
  // Two inputs, weights (4 bytes, twice while they are made), smoothed ones, pieces, bundles (measured),
  // output.
  // Affinities have weights of three edges, and are read with all channels.
  const std::int64_t inputs = 2 * (channels * voxel_bytes + 1), weights = graph.affinities ? 20 : 8,
                     smoothed = graph.smoothing > 0 ? 8 : 0, histograms = graph.histograms ? 4 : 0;
  const std::int64_t output = size_of(supervoxels ? VoxelType::uint64 : type());
  return volume_of(blocks.block_shape()) * (inputs + weights + smoothed + 4 + 6 + histograms + output);
}

SegmentationPlan plan_segmentation(const SegmentConfig& config, const SegmentationInputs& inputs) {
  require_segmentable(config, inputs);
  SegmentationPlan plan;
  plan.mode = mode_of(config, inputs.prediction);
  if (plan.mode == SegmentMode::volume && !config.link_key.empty()) {
    throw UsageError(
        fmt::format("segment.{}: is used with mode: sections only, and the resolution of {} gives mode: "
                    "volume: remove it, or "
                    "set segment.mode: sections",
                    config.link_key, inputs.prediction.name.text()));
  }
  plan.channels = inputs.prediction.channels;
  if (config.input == SegmentInput::affinities) {
    plan.offsets = affinity_offsets(config, inputs.prediction);
    plan.graph.affinities = affinity_channels(plan.offsets, plan.mode, inputs.prediction);
  }
  if (config.method == SegmentMethod::components) plan.components = components_of(config);
  plan.region = region_of(config, inputs.prediction);
  plan.chunk = chunk_of(config, plan, inputs.prediction);
  plan.blocks = blocks_of(config, plan);
  plan.graph.mode = plan.mode;
  plan.graph.saturated = weight_of_probability(config.saturated);
  plan.graph.fragment_size = config.fragment_size.value_or(plan.mode == SegmentMode::sections ? 100 : 300);
  plan.graph.fragment_floor = weight_of_probability(config.fragment_floor);
  plan.graph.smoothing = config.smoothing;
  plan.graph.histograms =
      config.method == SegmentMethod::watershed && rule_of(config.linkage).linkage == Linkage::quantile;
  plan.merge = merges_of(config, plan.mode);
  plan.background_below = weight_of_probability(config.background_below);
  plan.supervoxels = config.supervoxels;
  return plan;
}

std::string plan_text(const SegmentationPlan& plan, const SegmentationInputs& inputs) {
  const auto line = [](const char* what, const std::string& value) {
    return fmt::format("  {:<22} {}\n", what, value);
  };
  const std::int64_t voxels = volume_of(plan.region.shape());
  std::string text = line("prediction", inputs.prediction.name.text() + ", " + inputs.prediction.type_text() +
                                            " " + to_string(inputs.prediction.shape));
  if (plan.graph.affinities) text += line("affinities", affinities_text(plan));
  text += line("region", to_string(plan.region));
  text += line("objects by", plan.components
                                 ? fmt::format("components of {} neighbours{}{}", plan.components->neighbours,
                                               plan.components->within_sections() ? " within sections" : "",
                                               plan.components->fill_holes ? ", holes filled" : "")
                                 : fmt::format("watershed, mode {}, linkage {}", name_of(plan.mode),
                                               name_of(plan.merge.linkage)));
  text += line("blocks", fmt::format("{} of {}, chunks of {}", plan.blocks.count(),
                                     to_string(plan.blocks.block_shape()), to_string(plan.chunk)));
  text += line("memory per worker", bytes_text(plan.memory_per_worker(size_of(inputs.prediction.type))));
  text += line("result's size", bytes_text(voxels * size_of(plan.type())));
  if (plan.supervoxels) text += line("supervoxels' size", bytes_text(voxels * size_of(VoxelType::uint64)));
  return text;
}

JobDescription describe_first_pass(const SegmentConfig& config, const SegmentationPlan& plan,
                                   const SegmentationInputs& inputs) {
  JobDescription job;
  const VolumeInfo& prediction = inputs.prediction;
  describe_files(prediction, "segment.prediction", job);
  job["segment.prediction.shape"] = to_string(prediction.shape);
  job["segment.prediction.type"] = prediction.type_text();
  if (const auto found = prediction.attributes.find("instance"); found != prediction.attributes.end())
    job["segment.prediction.instance"] = found->second;
  if (inputs.mask) describe_files(*inputs.mask, "segment.mask", job);
  job["segment.method"] = name_of(config.method);
  job["segment.region"] = to_string(plan.region);
  if (plan.components) {
    job["segment.connectivity"] = std::to_string(plan.components->neighbours);
    job["segment.components_of"] = config.of_labels ? "labels" : "probability";
    if (!config.of_labels) job["segment.threshold"] = fmt::format("{}", config.threshold);
    if (config.fill_holes) job["segment.fill_holes"] = "true";
    return job;
  }
  job["segment.mode"] = name_of(plan.mode);
  if (plan.graph.affinities) {
    job["segment.input"] = name_of(config.input);
    job["segment.offsets"] = offsets_text(plan.offsets);
  }
  job["segment.saturated"] = fmt::format("{}", config.saturated);
  job["segment.fragment_size"] = std::to_string(plan.graph.fragment_size);
  job["segment.fragment_floor"] = fmt::format("{}", config.fragment_floor);
  job["segment.smoothing"] = std::to_string(config.smoothing);
  if (plan.graph.histograms) job[kHistogramsOfJob] = "true";
  return job;
}

JobDescription describe_supervoxels(const SegmentConfig& config, const SegmentationPlan& plan,
                                    const SegmentationInputs& inputs) {
  JobDescription job = describe_first_pass(config, plan, inputs);
  job.erase(kHistogramsOfJob);  // the same supervoxels
  job["segment.chunk"] = to_string(plan.chunk);
  return job;
}

std::vector<std::string> first_pass_differences(JobDescription then, const JobDescription& now) {
  if (!now.contains(kHistogramsOfJob)) then.erase(kHistogramsOfJob);
  return differences_between(then, now);
}

JobDescription describe_segmentation(const SegmentConfig& config, const SegmentationPlan& plan,
                                     const SegmentationInputs& inputs) {
  JobDescription job = describe_first_pass(config, plan, inputs);
  job.erase(kHistogramsOfJob);  // the linkage says it
  job["segment.min_size"] = std::to_string(config.min_size);
  job["segment.ids"] = config.compact_ids ? "compact" : "canonical";
  job["segment.chunk"] = to_string(plan.chunk);
  job["segment.output path"] = config.output->path;
  if (plan.components) return job;
  if (config.linkage != MergeLinkage::rounds) job["segment.linkage"] = name_of(config.linkage);
  job["segment.thresholds"] = fmt::format("{}", fmt::join(config.thresholds, ", "));
  if (plan.mode == SegmentMode::sections) {
    job["segment.link_below"] = fmt::format("{}", config.link_below);
    job["segment.link_jaccard"] = fmt::format("{}", config.link_jaccard);
    job["segment.link_mutual"] = config.link_mutual ? "true" : "false";
  }
  job["segment.small_size"] = std::to_string(config.small_size);
  if (config.small_size > 0) job["segment.small_threshold"] = fmt::format("{}", config.small_threshold);
  job["segment.background_below"] = fmt::format("{}", config.background_below);
  if (config.choose == ThresholdChoice::none) return job;
  job["segment.choose"] = name_of(config.choose);
  describe_files(inputs.choose_labels.value(), "segment.choose_labels", job);
  job["segment.choose_sections"] =
      fmt::format("{}:{}", config.choose_sections->begin, config.choose_sections->end);
  if (config.choose_ignored) job["segment.choose_ignored"] = std::to_string(*config.choose_ignored);
  return job;
}

std::string stages_text(const SegmentConfig& config, const SegmentationPlan& plan) {
  nlohmann::json stages = nlohmann::json::array();
  std::size_t threshold = 0;
  for (const MergeStage& stage : plan.merge.stages) {
    switch (stage.kind) {
      case MergeStage::Kind::mean:
        stages.push_back(
            {name_of(config.linkage == MergeLinkage::rounds ? MergeLinkage::mean : config.linkage),
             config.thresholds[threshold++]});
        break;
      case MergeStage::Kind::link:
        stages.push_back(nlohmann::json::array({"link"}));
        break;
      case MergeStage::Kind::small:
        stages.push_back(nlohmann::json::array({"small"}));
        break;
    }
  }
  return stages.dump();
}

}  // namespace tessera
