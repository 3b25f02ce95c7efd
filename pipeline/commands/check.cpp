#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <sstream>

#include "io/base/console.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "io/base/split_text.h"
#include "pipeline/cluster/experiment_stages.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/experiment_check.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment.h"
#include "pipeline/inputs/image_inputs.h"
#include "pipeline/run/next_step.h"
#include "pipeline/start/machine_check.h"
#include "pipeline/train/training_plan.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

/// As that of the other verbs, where --config names the file: here it is another option.
ExperimentConfig read_experiment_of_check(const po::variables_map& values, const Communicator& world) {
  if (values.count("experiment") == 0) {
    throw UsageError(
        fmt::format("an experiment file is needed, such as my.yaml\nusage: {}", usage_of("check")));
  }
  std::vector<std::string> overrides;
  if (values.count("set") != 0) overrides = values["set"].as<std::vector<std::string>>();
  return read_experiment(values["experiment"].as<std::string>(), overrides, {}, world);
}

/// A YAML file: the plan as comments, then every key with its value.
void print_config(const std::string& plan, const std::string& resolved_yaml) {
  for (const std::string& line : split_text(plan, '\n'))
    std::cout << "# " << line << "\n";
  std::cout << "# every key with its value\n" << resolved_yaml;
}

/// The keys are printed also where the plan fails. Errors: those of the plan.
void print_plan_and_config(const ExperimentConfig& config, bool one_volume) {
  std::ostringstream plan;
  plan.exceptions(std::ios::badbit);  // out of memory
  try {
    check_experiment(config, one_volume, plan);
  } catch (...) {
    print_config(plan.str(), config.resolved_yaml);
    throw;
  }
  print_config(plan.str(), config.resolved_yaml);
}

}  // namespace

OptionTable check_options() {
  po::options_description options("options");
  options.add_options()                                                        //
      ("experiment", po::value<std::string>(), "the experiment, a YAML file")  //
      ("set", po::value<std::vector<std::string>>()->composing(),
       "key=value, overrides a key, such as train.seed=2")  //
      ("config",
       "print every key with its value, after the plan, as a YAML file; nothing is measured then")  //
      ("measure", po::value<double>()->default_value(3),
       "seconds for the iterations and tiles that the times come from; 0: no times");
  add_volume_choice(options);
  return options;
}

int run_check(const OptionValues& values, const Communicator& world) {
  const double measure_s = values["measure"].as<double>();
  if (!(measure_s >= 0 && measure_s <= 3600))
    throw UsageError(fmt::format("--measure {}: write seconds from 0 to 3600", measure_s));
  if (Console* log = console()) log->show_warnings_once();
  const ExperimentConfig whole = read_experiment_of_check(values, world);
  import_images(whole, InputUse::all, world);
  const bool is_chosen = is_volume_chosen(values);
  const ExperimentConfig config =
      is_chosen ? experiment_of(whole, chosen_volumes(values, whole, world).front(), {}) : whole;
  on_root(world, [&] {
    const std::string idle =
        has_training_data(config) ? idle_workers_doubt(config, std::max(1, world.size() - 1)) : "";
    if (!idle.empty()) spdlog::warn("{}", idle);
    if (values.count("config") != 0) {
      print_plan_and_config(config, is_chosen);
    } else {
      check_experiment(config, is_chosen, std::cout);
      check_machine(config, measure_s, std::cout);
      tell_next(command_text(experiment_words("run", values)));
    }
    std::cout << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
