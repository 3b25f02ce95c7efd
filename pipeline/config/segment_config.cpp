#include "pipeline/config/segment_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "io/stores/dataset_wildcards.h"
#include "pipeline/config/component_config.h"
#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

Range fraction() {
  return between(0, 1);
}
Range positive_fraction() {
  Range range = between(0, 1);
  range.min_excluded = true;
  return range;
}

/// What is read, and what is written. Of several volumes each has its own result by default.
void read_segment_files(ConfigSection& segment, const SegmentDefaults& defaults, bool needed,
                        SegmentConfig& s) {
  const InferConfig& infer = defaults.infer;
  s.prediction = dataset(segment,
                         {"prediction",
                          "The probability of cell interior, (z, y, x), as `tessera infer` writes it: uint8, "
                          "uint16, float16 or float32; or affinities, see input. Wildcards, such as "
                          "predictions/*.h5:/volumes/interior, "
                          "select several volumes; each is segmented separately.",
                          {.example = "runs/example/prediction.h5:/volumes/predictions/interior",
                           .fallback = "infer.output",
                           .related = "infer.output segment.output"}},
                         needed && !infer.output && !infer.raw);
  if (!s.prediction && !segment.has("prediction")) s.prediction = infer.output;
  const Key output{
      "output",
      "The objects' ids, in a file of its own. The graph is beside it, in a file that ends in "
      ".graph.h5 and a folder that ends in .graph. With wildcards in prediction, as many here.",
      {.example = "runs/example/segmentation.h5:/volumes/labels/neuron_ids",
       .fallback = "segmentation.h5:/volumes/labels/neuron_ids in the run folder; of many volumes "
                   "in the folder of each",
       .form = "a dataset, FILE.h5:/path/in/file",
       .related = "segment.prediction segment.chunk segment.ids"}};
  const bool several = (infer.raw && !wildcards_of(*infer.raw).empty()) ||
                       (s.prediction && !wildcards_of(*s.prediction).empty());
  if (segment.has("output") || !s.prediction || several || !defaults.wanted) {
    s.output = dataset(segment, output);
    return;
  }
  s.output = DatasetName{defaults.run_folder / "segmentation.h5", "/volumes/labels/neuron_ids"};
  segment.get<std::string>(output, s.output->text());
}

/// Three whole numbers, parted by blanks or commas; none for other texts.
std::optional<Index3> offset_in(std::string text) {
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream in(text);
  Index3 offset;
  std::string more;
  if (!(in >> offset.z >> offset.y >> offset.x) || in >> more) return std::nullopt;
  return offset;
}

void read_segment_input(ConfigSection& segment, SegmentConfig& s) {
  s.input = segment.choice({"input",
                            "What the prediction holds. probability: of each voxel, (z, y, x). affinities: "
                            "of each voxel and its neighbours, (channel, z, y, x).",
                            {.example = "affinities", .related = "segment.prediction segment.offsets"}},
                           SegmentInput::probability);
  const auto texts = segment.optional<std::vector<std::string>>(
      {"offsets",
       "Of affinities: for each channel, the step from a voxel to the neighbour that the affinity is of, as "
       "z y "
       "x. Steps to other voxels than the neighbours are not used.",
       {.example = "[-1 0 0, 0 -1 0, 0 0 -1]",
        .fallback = "the prediction's attribute 'offsets'",
        .form = "a list with z y x for each channel",
        .related = "segment.input"}});
  for (const std::string& text : texts.value_or(std::vector<std::string>())) {
    const std::optional<Index3> offset = offset_in(text);
    if (!offset) segment.problem("offsets", fmt::format("'{}' is not z y x, such as -1 0 0", text));
    s.offsets.push_back(offset.value_or(Index3{}));
  }
  if (texts && s.input != SegmentInput::affinities)
    segment.problem("offsets", "goes with input: affinities: set it, or remove offsets");
  if (texts && texts->empty()) segment.problem("offsets", "is empty: set one for each channel, or remove it");
}

/// Keys that mean something for the probability of a voxel.
void reject_keys_of_voxels(ConfigSection& segment, const SegmentConfig& s) {
  if (s.input != SegmentInput::affinities) return;
  constexpr const char* kText =
      "goes with input: probability, because affinities are of pairs of voxels: remove it";
  if (s.method == SegmentMethod::components) segment.problem("method", kText);
  if (s.smoothing > 0) segment.problem("smoothing", kText);
  if (s.background_below > 0) segment.problem("background_below", kText);
}

void read_segment_names(ConfigSection& segment, SegmentConfig& s) {
  s.method =
      segment.choice({"method",
                      "How objects are made. watershed: basins of the probability, merged by their mean "
                      "affinity. components: the connected components of a threshold or of labels.",
                      {.example = "components", .related = "segment.connectivity segment.threshold"}},
                     SegmentMethod::watershed);
  s.mode = segment.choice_or_auto<SegmentMode>(
      {"mode",
       "volume: neighbours in 3-D. sections: objects within each section, linked by their overlap. auto: "
       "sections where the resolution in z is at least 3 times that in y and x.",
       {.example = "sections", .related = "segment.link_below"}});
  s.mask = dataset(segment, {"mask",
                             "Integers of the prediction's shape. Where the mask is 0 there is no object.",
                             {.example = "mask.h5:/volumes/mask", .fallback = "none"}});
  ConfigSection region = segment.section({"region",
                                          "The part of the volume to segment. The result has its shape and "
                                          "its offset, and ids count within it."});
  s.region_begin = position(
      region, {"begin", "The first voxel of the region.", {.example = "[0, 0, 0]", .fallback = "[0, 0, 0]"}});
  s.region_end = position(region, {"end",
                                   "The voxel after the last one of the region, on each axis.",
                                   {.example = "[20, 512, 512]", .fallback = "the volume's shape"}});
}

void read_fragments(ConfigSection& segment, SegmentConfig& s) {
  s.saturated = segment.get<double>(
      {"saturated",
       "Voxels that are joined by neighbours of at least this probability are of one fragment.",
       {.example = "0.98", .form = "a number, more than 0 and at most 1"}},
      0.995, positive_fraction());
  s.fragment_size = segment.optional<std::int64_t>(
      {"fragment_size",
       "Basins of fewer voxels join the neighbour of their strongest edge. 0: none do.",
       {.example = "1000", .fallback = "300; 100 in mode sections", .related = "segment.fragment_floor"}},
      between(0, 1e15));
  s.fragment_floor =
      segment.get<double>({"fragment_floor",
                           "The lowest probability of an edge over which a small basin joins a neighbour.",
                           {.example = "0.1", .related = "segment.fragment_size"}},
                          0, fraction());
  s.smoothing = static_cast<int>(segment.get<std::int64_t>(
      {"smoothing",
       "Passes of a (1, 2, 1) filter along y and x before the basins are found. Means are of unsmoothed "
       "probabilities.",
       {.example = "2"}},
      0, between(0, BlockGraphOptions::kMostSmoothing)));
}

/// from, from - step, ... down to the threshold, which is the last one.
std::vector<double> falling_thresholds(double from, double step, double threshold) {
  std::vector<double> list;
  for (int i = 0;; ++i) {
    const double next = std::round((from - i * step) * 1e9) / 1e9;  // 0.8 and not 0.7999999999999999
    if (next <= threshold + 1e-9) break;
    list.push_back(next);
  }
  list.push_back(threshold);
  return list;
}

void read_thresholds(ConfigSection& segment, SegmentConfig& s) {
  s.linkage = segment.choice({"linkage",
                              "How fragments merge. rounds: at each threshold, every cluster and its "
                              "neighbour of the largest mean, in "
                              "rounds. The others are greedy, the two clusters of the largest value first: "
                              "the mean of the affinities between them, a percentile such as quantile75, or "
                              "the maximum. Their result can be cut at any threshold by --cut.",
                              {.example = "mean", .related = "segment.threshold segment.thresholds"}},
                             MergeLinkage::rounds);
  s.threshold = segment.get<double>(
      {"threshold",
       "Clusters that are joined by a mean affinity of at least this are one object. With method: "
       "components, "
       "the lowest probability of the foreground.",
       {.example = "0.3", .form = "a number, more than 0 and at most 1", .related = "segment.thresholds"}},
      0.5, positive_fraction());
  const double from =
      segment.get<double>({"threshold_from",
                           "The first of the falling thresholds.",
                           {.example = "0.9", .related = "segment.threshold_step segment.thresholds"}},
                          0.95, positive_fraction());
  Range step_range = between(0.001, 1);
  const double step =
      segment.get<double>({"threshold_step",
                           "The distance of the falling thresholds. The last one is `threshold`.",
                           {.example = "0.1", .related = "segment.threshold_from segment.thresholds"}},
                          0.05, step_range);
  const auto list = segment.optional<std::vector<double>>(
      {"thresholds",
       "The falling thresholds themselves, in place of threshold_from and threshold_step. The last one is "
       "`threshold`.",
       {.example = "[0.9, 0.7, 0.5]", .fallback = "from threshold_from by threshold_step to threshold"}},
      positive_fraction());
  s.thresholds = falling_thresholds(from, step, s.threshold);
  if (!list) return;
  for (std::size_t i = 1; i < list->size(); ++i) {
    if ((*list)[i] >= (*list)[i - 1]) {
      segment.problem("thresholds", fmt::format("must fall: {} follows {}", (*list)[i], (*list)[i - 1]));
      return;
    }
  }
  if (list->empty() || list->back() != s.threshold) {
    segment.problem("thresholds", fmt::format("must end in segment.threshold, which is {}", s.threshold));
    return;
  }
  s.thresholds = *list;
}

void read_choice(ConfigSection& segment, const DataConfig& data, SegmentConfig& s) {
  s.choose = segment.choice(
      {"choose",
       "Which of the thresholds is taken for the result, by comparison with labels. voi: that of the "
       "smallest "
       "variation of information. rand: that of the smallest adapted Rand error. vrand_thin: that of the "
       "largest V^Rand of thinned borders, section by section. none: the last one.",
       {.example = "voi", .related = "segment.choose_labels segment.choose_sections segment.thresholds"}},
      ThresholdChoice::none);
  s.choose_labels = dataset(
      segment,
      {"choose_labels",
       "The ids of true objects, to choose the threshold. An attribute 'offset' may place them in the "
       "prediction.",
       {.example = "em.h5:/volumes/labels/neuron_ids",
        .fallback = "data.labels",
        .related = "segment.choose data.labels"}});
  if (!s.choose_labels && !segment.has("choose_labels") && !data.names_several())
    s.choose_labels = data.labels;
  if (s.choose_labels && data.labels && s.choose_labels->text() == data.labels->text())
    s.choose_ignored = data.ignore_label;
  s.choose_sections = sections(
      segment, {"choose_sections",
                "The sections of the prediction by which the threshold is chosen. Report scores on others.",
                {.example = "[16, 20]",
                 .fallback = "none: needed with segment.choose",
                 .related = "segment.choose evaluate.sections"}});
  if (s.choose == ThresholdChoice::none) return;
  if (s.method == SegmentMethod::components)
    segment.problem("choose", "goes with method: watershed: connected components have one threshold");
  if (!s.choose_labels && !segment.has("choose_labels"))
    segment.problem("choose", "needs labels: set segment.choose_labels");
  if (!s.choose_sections && !segment.has("choose_sections")) {
    segment.problem("choose",
                    "needs sections: set segment.choose_sections, to others than those on which "
                    "scores are reported");
  }
}

void read_links(ConfigSection& segment, SegmentConfig& s) {
  for (const char* key : {"link_below", "link_jaccard", "link_mutual"}) {
    if (segment.has(key) && s.link_key.empty()) s.link_key = key;
  }
  // Optional, so that the resolved experiment has them only where the file has them.
  s.link_below =
      segment
          .optional<double>(
              {"link_below",
               "In mode sections: sections are linked after the thresholds that are at least "
               "this. The others follow.",
               {.example = "0.5", .fallback = "0.6", .related = "segment.mode segment.link_jaccard"}},
              between(0, 2))
          .value_or(s.link_below);
  s.link_jaccard =
      segment
          .optional<double>(
              {"link_jaccard",
               "In mode sections: the share of their union that two objects of neighbouring "
               "sections must have in common to be linked.",
               {.example = "0.5", .fallback = "0.35", .related = "segment.link_below segment.link_mutual"}},
              fraction())
          .value_or(s.link_jaccard);
  s.link_mutual =
      segment
          .optional<bool>({"link_mutual",
                           "In mode sections. true: each of two linked objects has its largest overlap with "
                           "the other one. false: one of them is enough.",
                           {.example = "false", .fallback = "true", .related = "segment.link_jaccard"}})
          .value_or(s.link_mutual);
  if (!s.link_key.empty() && s.mode == SegmentMode::volume)
    segment.problem(s.link_key, "is used with mode: sections only: remove it, or set mode: sections");
}

void read_objects(ConfigSection& segment, SegmentConfig& s) {
  const Range voxels = between(0, 1e15);
  s.small_size = segment.get<std::int64_t>(
      {"small_size",
       "At the end, objects of fewer voxels join the neighbour of the largest mean affinity. 0: none do.",
       {.example = "1000", .related = "segment.small_threshold segment.min_size"}},
      0, voxels);
  s.small_threshold = segment.get<double>({"small_threshold",
                                           "The lowest mean affinity at which a small object joins.",
                                           {.example = "0.3", .related = "segment.small_size"}},
                                          0.2, fraction());
  s.min_size = segment.get<std::int64_t>(
      {"min_size", "Objects of fewer voxels are 0 in the result.", {.example = "100"}}, 0, voxels);
  s.background_below = segment.get<double>(
      {"background_below", "Voxels of a lower probability are 0 in the result.", {.example = "0.2"}}, 0,
      fraction());
  s.compact_ids = segment.choice({"ids",
                                  "canonical: uint64, 1 plus the index of the object's first voxel. compact: "
                                  "uint32, 1, 2, ... in the same order.",
                                  {.example = "compact"}},
                                 "canonical", {"canonical", "compact"}) == "compact";
  s.supervoxels = segment.get<bool>(
      {"supervoxels",
       "Whether the supervoxels are written, too: their ids, beside the result in a file that ends in "
       ".supervoxels.h5. `tessera evaluate --graph` scores every threshold with them.",
       {.example = "true", .related = "segment.fragment_size segment.output"}},
      false);
  if (s.supervoxels && s.method == SegmentMethod::components)
    segment.problem("supervoxels", "goes with method: watershed: connected components have no supervoxels");
}

void read_segment_computation(ConfigSection& segment, SegmentConfig& s) {
  s.block =
      shape(segment, {"block",
                      "The unit of reading, writing, scheduling and restart: whole chunks of the result. "
                      "It does not change the result.",
                      {.example = "[256, 256, 256]",
                       .fallback = "about [512, 512, 512]; [8, 2048, 2048] in mode sections",
                       .related = "segment.chunk segment.memory_budget_mib"}});
  s.chunk = shape(segment,
                  {"chunk",
                   "The storage chunk of the result.",
                   {.example = "[64, 64, 64]", .fallback = "the prediction's", .related = "segment.block"}});
  s.keep_graph = segment.get<bool>(
      {"keep_graph",
       "Whether the blocks' graph files stay. With them, another threshold needs no second look at basins.",
       {.example = "false"}},
      true);
  s.memory_budget =
      number_or_auto(segment,
                     {"memory_budget_mib",
                      "Memory of a worker for a block, in MiB. auto: what the node has available.",
                      {.example = "8192", .related = "segment.block"}},
                     between(16, 1 << 24)) *
      (std::int64_t{1} << 20);
  s.threads = static_cast<int>(
      number_or_auto(segment,
                     {"threads",
                      "Threads of each worker that decompress the prediction. auto: the cores of the rank.",
                      {.example = "4"}},
                     between(1, 4096)));
  s.max_retries = static_cast<int>(segment.get<std::int64_t>(
      {"max_retries",
       "How often a failed block is tried again, by another worker where there is one.",
       {.example = "5"}},
      s.max_retries, between(0, 100)));
  s.watchdog_minutes = silence_minutes(segment);
}

}  // namespace

SegmentConfig read_segment(ConfigSection segment, const SegmentDefaults& defaults, bool needed) {
  SegmentConfig s;
  s.wanted = defaults.wanted;
  read_segment_files(segment, defaults, needed, s);
  read_segment_input(segment, s);
  read_segment_names(segment, s);
  read_fragments(segment, s);
  read_thresholds(segment, s);
  read_choice(segment, defaults.data, s);
  read_links(segment, s);
  read_objects(segment, s);
  read_components(segment, s);
  reject_keys_of_voxels(segment, s);
  read_segment_computation(segment, s);
  return s;
}

}  // namespace tessera
