#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/base/split_text.h"
#include "io/stores/dataset_wildcards.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/commands/block_options.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/evaluate_graph.h"
#include "pipeline/commands/evaluate_options.h"
#include "pipeline/commands/evaluation_inputs.h"
#include "pipeline/commands/result_argument.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/evaluate/evaluation.h"
#include "pipeline/evaluate/evaluation_report.h"
#include "pipeline/evaluate/label_evaluation.h"
#include "pipeline/inputs/image_inputs.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/next_step.h"
#include "pipeline/run/prediction_meaning.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/volume_look_up.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

/// The request of an experiment. Scores and pictures go to its run folder.
EvaluationRequest request_of(const ExperimentConfig& config) {
  EvaluationRequest request;
  if (!config.evaluate.prediction)
    throw UsageError("evaluate.prediction is missing, and there is no infer.output");
  if (!config.evaluate.labels) throw UsageError("evaluate.labels is missing, and there is no data.labels");
  request.kind = config.evaluate.kind;
  request.scores = evaluation_scores(config.evaluate.scores);
  request.prediction = *config.evaluate.prediction;
  request.labels = *config.evaluate.labels;
  request.invert_labels = config.evaluate.invert_labels;
  request.label_kind = config.evaluate.label_kind;
  request.ignore_label = config.evaluate.ignore_label;
  request.thresholds = config.evaluate.thresholds;
  if (config.evaluate.sections)
    request.sections = {config.evaluate.sections->begin, config.evaluate.sections->end};
  const auto& predicted = config.infer.output;
  const bool is_result = predicted && predicted->text() == request.prediction.text();
  if (is_result) request.classes = config.model.classes;
  request.raw = is_result && config.infer.raw ? config.infer.raw : config.data.raw;
  request.raw_may_not_fit = true;
  request.json_file = config.run_folder / "evaluation.json";
  request.picture_folder = config.run_folder / "evaluation";
  return request;
}

/// The region that the experiment scores, of sections of this shape.
std::optional<PixelBounds> region_of(const EvaluateConfig& config, const Index3& shape) {
  if (!config.region_begin && !config.region_end) return std::nullopt;
  const Index3 begin = config.region_begin.value_or(Index3{}), end = config.region_end.value_or(shape);
  return PixelBounds{begin.y, begin.x, end.y, end.x};
}

/// The raw volume that an experiment's prediction and labels have their places in: the prediction's, or that
/// of the labels in `data`.
std::optional<DatasetName> raw_of(const ExperimentConfig& config, const EvaluationRequest& request) {
  const auto& predicted = config.infer.output;
  const auto &objects = config.segment.output, &segmented = config.segment.prediction;
  const bool of_prediction = predicted && (predicted->text() == request.prediction.text() ||
                                           (objects && objects->text() == request.prediction.text() &&
                                            segmented && segmented->text() == predicted->text()));
  if (of_prediction && config.infer.raw) return config.infer.raw;
  const VolumeConfig* volume = config.data.volume_of_labels(request.labels);
  return volume != nullptr && volume->labels->text() == request.labels.text() ? volume->raw : std::nullopt;
}

/// Collective. Sets the frame, and the region in it. Volumes of one shape without offsets need no other
/// frame.
void set_frame(const VolumeInfo& prediction, const VolumeInfo& labels,
               const std::optional<ExperimentConfig>& config, EvaluationRequest& request,
               const Communicator& world) {
  const bool placed =
      !labels.offset_nm.empty() || (prediction.shape != labels.shape && !prediction.offset_nm.empty());
  if (const auto raw = config && placed ? raw_of(*config, request) : std::nullopt)
    request.frame = look_up_volume(*raw, world);
  if (config) request.region = region_of(config->evaluate, request.frame.value_or(labels).shape);
}

/// Collective. Only the root reads the journal.
ResultCompleteness completeness_on_root(const VolumeInfo& prediction, bool allowed,
                                        const Communicator& world) {
  ResultCompleteness found;
  on_root(world, [&] { found = require_complete(prediction, allowed); });
  if (world.is_root() && !found.complete())
    spdlog::warn("{} is incomplete: {}", prediction.name.text(), found.problem);
  return found;
}

/// Sets what is known of the network's classes, from the prediction or else the experiment. A probability is
/// that of one class: with more than two classes it is compared with that id.
void compare_predicted_class(const PredictionMeaning& meaning, const std::optional<ExperimentConfig>& config,
                             EvaluationRequest& request) {
  const bool known = meaning.values != PredictionMeaning::Values::unknown;
  if (meaning.classes) request.classes = meaning.classes;
  if (request.kind != EvaluationKind::probability || (!known && !config)) return;
  const std::int64_t predicted = known ? meaning.output_class : config->infer.output_class;
  const std::int64_t classes = meaning.classes ? *meaning.classes : config ? config->model.classes : 2;
  if (std::max(classes, predicted + 1) > 2)
    request.label_class = static_cast<LabelId>(predicted);
  else if (predicted == 0)
    request.invert_labels = !request.invert_labels;
}

/// Collective. The command line overrides the experiment.
EvaluationRequest request_of(const po::variables_map& values, const std::optional<ExperimentConfig>& config,
                             const Communicator& world) {
  EvaluationRequest request;
  if (config) request = request_of(*config);
  const auto given = [&](const char* name) { return values.count(name) != 0; };
  const auto text = [&](const char* name) { return values[name].as<std::string>(); };
  for (const char* needed : {"prediction", "labels"}) {
    if (!config && !given(needed)) {
      throw UsageError(fmt::format("--{} is missing\nusage: {}", needed, usage_of("evaluate")));
    }
  }
  if (given("prediction")) request.prediction = parse_dataset_name(text("prediction"));
  if (given("labels")) request.labels = parse_dataset_name(text("labels"));
  if (given("kind")) request.kind = evaluation_kind(text("kind"));
  if (given("instances")) request.kind = EvaluationKind::labels;
  if (given("scores")) request.scores = evaluation_scores(split_text(text("scores"), ','));
  if (given("raw")) {
    request.raw = parse_dataset_name(text("raw"));
    request.raw_may_not_fit = false;
  }
  const bool is_result =
      config && config->infer.output && config->infer.output->text() == request.prediction.text();
  if (is_result) require_predicted(request.prediction, values["config"].as<std::string>(), world);
  const VolumeInfo prediction = look_up_volume(request.prediction, world),
                   labels = look_up_volume(request.labels, world);
  on_root(world, [&] { require_comparable(request, labels, config); });
  request.completeness = completeness_on_root(prediction, given("allow-incomplete"), world);
  const bool by_type = request.kind == EvaluationKind::automatic;
  request.kind = kind_of(request, prediction);
  if (by_type && request.kind == EvaluationKind::probability &&
      meaning_of(prediction).values == PredictionMeaning::Values::unknown)
    on_root(world, [&] { require_probability_by_look(prediction); });
  compare_predicted_class(meaning_of(prediction), config, request);
  if (given("invert-labels")) request.invert_labels = true;
  if (given("thresholds")) request.thresholds = values["thresholds"].as<int>();
  if (given("sections")) request.sections = parse_section_range(text("sections"));
  if (given("label-kind")) {
    const auto kind = value_named<LabelKind>(text("label-kind"));
    if (!kind) {
      throw UsageError(
          fmt::format("--label-kind: '{}' is neither classes nor instances", text("label-kind")));
    }
    request.label_kind = *kind;
  }
  if (given("ignore-label")) request.ignore_label = id_option(values, "ignore-label");
  if (given("class")) request.label_class = id_option(values, "class");
  set_frame(prediction, labels, config, request, world);
  // Labels of a part, without the raw volume: their sections have other numbers than the training's.
  const bool at_origin = std::ranges::all_of(labels.offset_nm, [](double nm) { return nm == 0; });
  if (request.frame || at_origin) request.trained_on = trained_boxes(request, prediction, config);
  if (given("region")) request.region = parse_region(text("region"));
  if (given("json")) request.json_file = text("json");
  if (given("pictures")) request.picture_folder = text("pictures");
  if (given("pictures") && request.kind != EvaluationKind::probability) {
    throw UsageError("--pictures: pictures need a probability, but the prediction is taken as " +
                     name_of(request.kind));
  }
  return request;
}

/// Collective.
void evaluate_one(const EvaluationRequest& request, const Communicator& world) {
  FileLock json, pictures;
  on_root(world, [&] {
    if (request.json_file) json = FileLock(*request.json_file);
    if (request.picture_folder) pictures = FileLock(*request.picture_folder);
  });
  std::string text;
  std::vector<std::string> doubts;
  const auto take = [&](const auto& evaluation) {
    text = evaluation_text(evaluation);
    doubts = evaluation.doubts();
  };
  if (request.kind == EvaluationKind::labels)
    take(evaluate_labels(request, world));
  else if (request.kind == EvaluationKind::classes)
    take(evaluate_classes(request, world));
  else
    take(evaluate_volumes(request, world));
  if (!world.is_root()) return;
  std::cout << text << std::flush;
  for (const std::string& doubt : doubts)
    spdlog::warn("{}", doubt);
}

/// Why the objects of the experiment are not scored; "" where they are. Options that name another prediction,
/// its kind or the file of the scores are for one evaluation: then there is no second one.
std::string why_no_objects(const po::variables_map& values, const ExperimentConfig& config) {
  for (const char* option : {"prediction", "kind", "instances", "class", "scores", "json", "pictures"}) {
    if (values.count(option) != 0) return fmt::format("with --{}, only the prediction is", option);
  }
  if (!config.segment.wanted || !config.segment.output || !config.evaluate.labels)
    return "the experiment has no objects, or no labels";
  const DatasetName& objects = *config.segment.output;
  if (config.evaluate.prediction && config.evaluate.prediction->text() == objects.text())
    return "they are the prediction";
  if (!file_exists(objects.file)) return fmt::format("{} does not exist yet", objects.file.string());
  if (config.evaluate.label_kind == LabelKind::classes && config.model.classes > 2)
    return "the labels are of more than two classes";
  const ResultCompleteness found = completeness_of(read_volume_info(objects));
  return found.complete() ? "" : fmt::format("{} is incomplete: {}", objects.text(), found.problem);
}

/// Collective. Scores the objects of the experiment's segmentation, where there are some, into
/// evaluation_objects.json of the run folder. Returns whether it did.
bool evaluate_objects(const po::variables_map& values, const ExperimentConfig& config,
                      const Communicator& world) {
  std::string why;
  on_root(world, [&] {
    why = why_no_objects(values, config);
    if (!why.empty() && config.segment.wanted) spdlog::info("the objects are not scored: {}", why);
  });
  world.broadcast(why);
  if (!why.empty()) return false;
  ExperimentConfig of_objects = config;
  of_objects.evaluate.prediction = config.segment.output;
  of_objects.evaluate.kind = EvaluationKind::labels;
  of_objects.evaluate.scores = {"auto"};  // a choice is for a probability
  EvaluationRequest request = request_of(values, of_objects, world);
  request.objects_of_classes = request.label_kind == LabelKind::classes;
  request.json_file = RunFolder(config.run_folder).object_scores();
  request.picture_folder.reset();
  if (world.is_root()) std::cout << "\nobjects\n" << std::flush;
  evaluate_one(request, world);
  return true;
}

/// Collective. Scores the prediction, and the objects made of it. An experiment without a prediction may have
/// objects only.
void evaluate_volume(const po::variables_map& values, const ExperimentConfig& config,
                     const Communicator& world) {
  const bool has_prediction = config.evaluate.prediction || values.count("prediction") != 0;
  if (!has_prediction && evaluate_objects(values, config, world)) return;
  evaluate_one(request_of(values, config, world), world);
  if (has_prediction) evaluate_objects(values, config, world);
}

/// Collective. The volumes to score, each by itself. Without wildcards in the prediction's name this is one
/// volume, however many are predicted.
std::vector<InferenceVolume> volumes_to_score(const po::variables_map& values, const ExperimentConfig& config,
                                              const Communicator& world) {
  const auto& prediction = config.evaluate.prediction;
  const bool only_objects = !prediction && !config.infer.raw;
  // Of each volume its default result.
  const auto& compared = prediction     ? prediction
                         : only_objects ? config.segment.prediction
                                        : config.infer.raw;
  const VolumeUse use = only_objects ? VolumeUse::segmentation : VolumeUse::inference;
  const bool has_wildcards = compared && !wildcards_of(*compared).empty();
  if (!has_wildcards && !is_volume_chosen(values)) return {{config.name, {}}};
  std::vector<InferenceVolume> volumes = chosen_volumes(values, config, world, use);
  if (volumes.size() == 1) return volumes;
  if (config.evaluate.labels && wildcards_of(*config.evaluate.labels).empty()) {
    throw UsageError(
        fmt::format("evaluate.labels: {} volumes are predicted, but these labels belong to one: use the "
                    "wildcards of infer.raw, or choose a volume by --volume",
                    volumes.size()));
  }
  for (const char* option : {"prediction", "labels", "raw", "json", "pictures"}) {
    if (values.count(option) != 0)
      throw UsageError(fmt::format("--{} belongs to one volume, but there are {}: choose one by --volume",
                                   option, volumes.size()));
  }
  return volumes;
}

}  // namespace

OptionTable evaluate_options() {
  po::options_description options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  add_silence_option(options);
  options.add_options()  //
      ("graph", po::value<std::string>(),
       "score every stage of a segmentation's merges, NAME.graph.h5")  //
      ("prediction", po::value<std::string>(),
       "probability of the interior, or labels or classes, FILE.h5:/path")  //
      ("kind", po::value<std::string>(),
       "content of the prediction: probability, labels (ids of objects), classes; auto: by what it says, or "
       "its type")                              //
      ("instances", "short for --kind labels")  //
      ("scores", po::value<std::string>(),
       "scores of a probability: rand,thin,warping,objects,calibration or auto")              //
      ("labels", po::value<std::string>(), "labels, above 0 in the interior, FILE.h5:/path")  //
      ("class", po::value<std::string>(), "labels are class ids; compare this class")         //
      ("invert-labels", "0 is the interior instead")                                          //
      ("label-kind", po::value<std::string>(),
       "classes, or instances: cells with a border of class 0 where they touch")                           //
      ("ignore-label", po::value<std::string>(), "voxels of this id are in no score")                      //
      ("region", po::value<std::string>(), "score only these pixels, such as 10:50,0:64 for y and x")      //
      ("sections", po::value<std::string>(), "compare only the sections FIRST to END - 1, such as 16:20")  //
      ("raw", po::value<std::string>(), "raw volume for the pictures, FILE.h5:/path")                      //
      ("thresholds", po::value<int>(), "number of thresholds from 0 to 1 (11)")                            //
      ("json", po::value<std::string>(), "write all scores, section by section, to this file")             //
      ("allow-incomplete", "score a result of infer that is not whole")                                    //
      ("pictures", po::value<std::string>(), "write pictures of the first, worst and best section here");
  return options;
}

int run_evaluate(const OptionValues& values, const Communicator& world) {
  const std::optional<SilenceLimit> limit = silence_option(values);
  if (limit) RankWatch::set_limit(SilenceLimit::of_collectives(limit->seconds, limit->setting));
  if (values.count("graph") != 0) return run_evaluate_graph(values, world);
  if (values.count("config") == 0) {
    const EvaluationRequest request = request_of(values, std::nullopt, world);
    evaluate_one(request, world);
    if (world.is_root() && request.json_file)
      tell_next(command_text({"report", request.json_file->string()}));
    return 0;
  }
  const ExperimentConfig config = read_experiment(values, {}, world);
  if (!limit)
    RankWatch::set_limit(
        SilenceLimit::of_collectives(60 * config.evaluate.watchdog_minutes, "evaluate.watchdog_minutes"));
  import_images(config, InputUse::evaluation, world);
  const std::vector<InferenceVolume> volumes = volumes_to_score(values, config, world);
  for_each_volume(volumes, world, [&](const InferenceVolume& volume) {
    if (world.is_root() && volumes.size() > 1) std::cout << heading(volumes, volume) << "\n" << std::flush;
    evaluate_volume(values, experiment_of(config, volume, {}), world);
  });
  if (world.is_root()) tell_next(command_text(experiment_words("report", values)));
  return 0;
}

}  // namespace tessera
