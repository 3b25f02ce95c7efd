#include <iostream>

#include "pipeline/command_line.h"
#include "io/error.h"
#include "pipeline/commands/commands.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/evaluation.h"
#include "pipeline/evaluation_report.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "tessera evaluate CONFIG.yaml [--set key=value ...]\n"
    "       tessera evaluate --prediction P.h5:/path --labels L.h5:/path [--sections FIRST:END] [--raw R.h5:/path]\n"
    "                        [--thresholds N] [--class ID] [--invert-labels] [--json OUT.json] [--pictures FOLDER]";

po::options_description evaluate_options() {
  po::options_description options("options");
  add_experiment_options(options);
  options.add_options()                                                                            //
      ("prediction", po::value<std::string>(), "probability of the interior, FILE.h5:/path")  //
      ("labels", po::value<std::string>(), "labels, above 0 in the interior, FILE.h5:/path")  //
      ("class", po::value<std::int64_t>(), "labels are class ids, and this one is compared")       //
      ("invert-labels", "0 is the interior instead")                                               //
      ("sections", po::value<std::string>(), "compare sections FIRST to END - 1 only, such as 16:20")      //
      ("raw", po::value<std::string>(), "raw volume for the pictures, FILE.h5:/path")              //
      ("thresholds", po::value<int>(), "how many thresholds from 0 to 1 (11)")       //
      ("json", po::value<std::string>(), "write everything, section by section, to this file")     //
      ("pictures", po::value<std::string>(), "write pictures of the first, worst and best section here");
  return options;
}

/// What the experiment says: its run folder gets the scores and the pictures.
EvaluationRequest request_of(const ExperimentConfig& config) {
  EvaluationRequest request;
  if (!config.evaluate.prediction) throw UsageError("evaluate.prediction is missing, and there is no infer.output");
  if (!config.evaluate.labels) throw UsageError("evaluate.labels is missing, and there is no data.labels");
  request.prediction = *config.evaluate.prediction;
  request.labels = *config.evaluate.labels;
  request.invert_labels = config.evaluate.invert_labels;
  request.thresholds = config.evaluate.thresholds;
  if (config.evaluate.sections) request.sections = {config.evaluate.sections->begin, config.evaluate.sections->end};
  // The written probability is that of infer.class: with more than two classes its labels are that id alone.
  if (config.model.classes > 2) {
    request.label_class = config.infer.output_class;
  } else if (config.infer.output_class == 0) {
    request.invert_labels = !request.invert_labels;
  }
  request.raw = config.data.raw;
  request.raw_may_not_fit = true;
  request.json_file = config.run_folder / "evaluation.json";
  request.picture_folder = config.run_folder / "evaluation";
  return request;
}

/// The command line has the last word.
EvaluationRequest request_of(const po::variables_map& values, const Communicator& world) {
  EvaluationRequest request;
  const bool has_config = values.count("config") != 0;
  if (has_config) request = request_of(read_experiment(values, {}, world));
  const auto text = [&](const char* name) { return values[name].as<std::string>(); };
  for (const char* needed : {"prediction", "labels"}) {
    if (!has_config && values.count(needed) == 0) {
      throw UsageError(std::string("--") + needed + " is missing\nusage: " + kUsage);
    }
  }
  if (values.count("prediction") != 0) request.prediction = parse_dataset_name(text("prediction"));
  if (values.count("labels") != 0) request.labels = parse_dataset_name(text("labels"));
  if (values.count("invert-labels") != 0) request.invert_labels = true;
  if (values.count("thresholds") != 0) request.thresholds = values["thresholds"].as<int>();
  if (values.count("sections") != 0) request.sections = parse_section_range(text("sections"));
  if (values.count("class") != 0) request.label_class = values["class"].as<std::int64_t>();
  if (values.count("raw") != 0) {
    request.raw = parse_dataset_name(text("raw"));
    request.raw_may_not_fit = false;
  }
  if (values.count("json") != 0) request.json_file = text("json");
  if (values.count("pictures") != 0) request.picture_folder = text("pictures");
  return request;
}

}  // namespace

int run_evaluate(const Arguments& arguments, const Communicator& world) {
  const auto values = parse_arguments(arguments, kUsage, evaluate_options(), {"config"}, world.is_root());
  if (!values) return 0;
  const Evaluation evaluation = evaluate_volumes(request_of(*values, world), world);
  if (world.is_root()) std::cout << evaluation_text(evaluation) << std::flush;
  return 0;
}

}  // namespace tessera
