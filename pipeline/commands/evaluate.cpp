#include <fmt/format.h>

#include <iostream>
#include <sstream>

#include "io/base/error.h"
#include "io/stores/dataset_wildcards.h"
#include "pipeline/commands/block_options.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/evaluate/evaluation.h"
#include "pipeline/evaluate/evaluation_report.h"
#include "pipeline/evaluate/label_evaluation.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/volume_look_up.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "tessera evaluate CONFIG.yaml [--set key=value ...] [--volume NAME | --volume-index N]\n"
    "       tessera evaluate --prediction P.h5:/path --labels L.h5:/path [--sections FIRST:END] [--raw "
    "R.h5:/path]\n"
    "                        [--kind auto|probability|labels|classes] [--scores LIST] [--thresholds N] "
    "[--class ID]\n"
    "                        [--invert-labels] [--json OUT.json] [--pictures FOLDER]";

po::options_description evaluate_options() {
  po::options_description options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  add_silence_option(options);
  options.add_options()  //
      ("prediction", po::value<std::string>(),
       "probability of the interior, or labels or classes, FILE.h5:/path")  //
      ("kind", po::value<std::string>(),
       "content of the prediction: probability, labels (ids of objects), classes; auto: by its type")  //
      ("instances", "short for --kind labels")                                                         //
      ("scores", po::value<std::string>(),
       "scores of a probability: rand,thin,warping,objects,calibration or auto")                           //
      ("labels", po::value<std::string>(), "labels, above 0 in the interior, FILE.h5:/path")               //
      ("class", po::value<std::int64_t>(), "labels are class ids; compare this class")                     //
      ("invert-labels", "0 is the interior instead")                                                       //
      ("sections", po::value<std::string>(), "compare only the sections FIRST to END - 1, such as 16:20")  //
      ("raw", po::value<std::string>(), "raw volume for the pictures, FILE.h5:/path")                      //
      ("thresholds", po::value<int>(), "number of thresholds from 0 to 1 (11)")                            //
      ("json", po::value<std::string>(), "write all scores, section by section, to this file")             //
      ("pictures", po::value<std::string>(), "write pictures of the first, worst and best section here");
  return options;
}

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
  request.thresholds = config.evaluate.thresholds;
  if (config.evaluate.sections)
    request.sections = {config.evaluate.sections->begin, config.evaluate.sections->end};
  const auto& predicted = config.infer.output;
  const bool is_result = predicted && predicted->text() == request.prediction.text();
  request.raw = is_result && config.infer.raw ? config.infer.raw : config.data.raw;
  request.raw_may_not_fit = true;
  request.json_file = config.run_folder / "evaluation.json";
  request.picture_folder = config.run_folder / "evaluation";
  return request;
}

/// The prediction is the probability of infer.class. With more than two classes it is compared with that id.
void compare_predicted_class(const ExperimentConfig& config, EvaluationRequest& request) {
  if (config.model.classes > 2)
    request.label_class = config.infer.output_class;
  else if (config.infer.output_class == 0)
    request.invert_labels = !request.invert_labels;
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');)
    parts.push_back(part);
  return parts;
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
      throw UsageError(std::string("--") + needed + " is missing\nusage: " + kUsage);
    }
  }
  if (given("prediction")) request.prediction = parse_dataset_name(text("prediction"));
  if (given("labels")) request.labels = parse_dataset_name(text("labels"));
  if (given("kind")) request.kind = evaluation_kind(text("kind"));
  if (given("instances")) request.kind = EvaluationKind::labels;
  if (given("scores")) request.scores = evaluation_scores(split_at_commas(text("scores")));
  request.kind = kind_of(request, look_up_volume(request.prediction, world));
  if (config && request.kind == EvaluationKind::probability) compare_predicted_class(*config, request);
  if (given("invert-labels")) request.invert_labels = true;
  if (given("thresholds")) request.thresholds = values["thresholds"].as<int>();
  if (given("sections")) request.sections = parse_section_range(text("sections"));
  if (given("class")) request.label_class = values["class"].as<std::int64_t>();
  if (given("raw")) {
    request.raw = parse_dataset_name(text("raw"));
    request.raw_may_not_fit = false;
  }
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
  std::string text;
  if (request.kind == EvaluationKind::labels)
    text = evaluation_text(evaluate_labels(request, world));
  else if (request.kind == EvaluationKind::classes)
    text = evaluation_text(evaluate_classes(request, world));
  else
    text = evaluation_text(evaluate_volumes(request, world));
  if (world.is_root()) std::cout << text << std::flush;
}

/// Collective. The volumes to score, each by itself. Without wildcards in the prediction's name this is one
/// volume, however many are predicted.
std::vector<InferenceVolume> volumes_to_score(const po::variables_map& values, const ExperimentConfig& config,
                                              const Communicator& world) {
  const auto& prediction = config.evaluate.prediction;
  const bool has_wildcards = prediction && !wildcards_of(*prediction).empty();
  if (!has_wildcards && !is_volume_chosen(values)) return {{config.name, {}}};
  std::vector<InferenceVolume> volumes = chosen_volumes(values, config, world);
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

int run_evaluate(const Arguments& arguments, const Communicator& world) {
  const auto values = parse_arguments(arguments, kUsage, evaluate_options(), {"config"}, world.is_root());
  if (!values) return 0;
  const std::optional<SilenceLimit> limit = silence_option(*values);
  if (limit) RankWatch::set_limit(*limit);
  if (values->count("config") == 0) {
    evaluate_one(request_of(*values, std::nullopt, world), world);
    return 0;
  }
  const ExperimentConfig config = read_experiment(*values, {}, world);
  if (!limit) RankWatch::set_limit({60 * config.evaluate.watchdog_minutes, "evaluate.watchdog_minutes"});
  const std::vector<InferenceVolume> volumes = volumes_to_score(*values, config, world);
  for_each_volume(volumes, world, [&](const InferenceVolume& volume) {
    const EvaluationRequest request = request_of(*values, experiment_of(config, volume, {}), world);
    if (world.is_root() && volumes.size() > 1) std::cout << heading(volumes, volume) << "\n" << std::flush;
    evaluate_one(request, world);
  });
  return 0;
}

}  // namespace tessera
