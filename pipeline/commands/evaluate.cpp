#include <fmt/format.h>

#include <iostream>

#include "pipeline/command_line.h"
#include "pipeline/commands/commands.h"
#include "pipeline/evaluation.h"
#include "pipeline/evaluation_report.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "tessera evaluate --prediction P.h5:/path --labels L.h5:/path [--sections FIRST:END] [--raw R.h5:/path]\n"
    "                        [--thresholds N] [--invert-labels] [--json OUT.json] [--pictures FOLDER]";

po::options_description evaluate_options() {
  po::options_description options("options");
  options.add_options()                                                                            //
      ("prediction", po::value<std::string>()->required(), "probability of the interior, FILE.h5:/path")  //
      ("labels", po::value<std::string>()->required(), "labels, above 0 in the interior, FILE.h5:/path")  //
      ("invert-labels", "0 is the interior instead")                                               //
      ("sections", po::value<std::string>(), "compare sections FIRST to END - 1 only, such as 16:20")      //
      ("raw", po::value<std::string>(), "raw volume for the pictures, FILE.h5:/path")              //
      ("thresholds", po::value<int>()->default_value(11), "how many thresholds from 0 to 1")       //
      ("json", po::value<std::string>(), "write everything, section by section, to this file")     //
      ("pictures", po::value<std::string>(), "write pictures of the first, worst and best section here");
  return options;
}

EvaluationRequest request_of(const po::variables_map& values) {
  const auto text = [&](const char* name) { return values[name].as<std::string>(); };
  EvaluationRequest request;
  request.prediction = parse_dataset_name(text("prediction"));
  request.labels = parse_dataset_name(text("labels"));
  request.invert_labels = values.count("invert-labels") != 0;
  request.thresholds = values["thresholds"].as<int>();
  if (values.count("sections") != 0) request.sections = parse_section_range(text("sections"));
  if (values.count("raw") != 0) request.raw = parse_dataset_name(text("raw"));
  if (values.count("json") != 0) request.json_file = text("json");
  if (values.count("pictures") != 0) request.picture_folder = text("pictures");
  return request;
}

}  // namespace

int run_evaluate(const Arguments& arguments, const Communicator& world) {
  const auto values = parse_arguments(arguments, kUsage, evaluate_options(), {}, world.is_root());
  if (!values) return 0;
  const Evaluation evaluation = evaluate_volumes(request_of(*values), world);
  if (world.is_root()) std::cout << evaluation_text(evaluation) << std::flush;
  return 0;
}

}  // namespace tessera
