#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <sstream>

#include "io/base/console.h"
#include "io/base/error.h"
#include "pipeline/cluster/experiment_stages.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/experiment_check.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/inputs/image_inputs.h"
#include "pipeline/start/experiment_run.h"
#include "pipeline/start/machine_check.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

/// Errors: UsageError.
std::optional<int> parse_workers(const std::string& text) {
  if (text == "auto") return std::nullopt;
  int workers = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), workers);
  if (code != std::errc{} || end != text.data() + text.size() || workers < 1)
    throw UsageError(fmt::format("--workers {}: write a number from 1 on, or auto", text));
  return workers;
}

RunRequest request_of_run(const po::variables_map& values) {
  RunRequest request;
  request.workers = parse_workers(values["workers"].as<std::string>());
  request.overwrite = values.count("overwrite") != 0;
  request.restart = values.count("restart") != 0;
  request.launcher.program = std::filesystem::read_symlink("/proc/self/exe").string();
  request.launcher.mpirun = values["mpirun"].as<std::string>();
  request.launcher.arguments = {values["config"].as<std::string>()};
  if (values.count("set") == 0) return request;
  for (const std::string& one : values["set"].as<std::vector<std::string>>())
    request.launcher.arguments.insert(request.launcher.arguments.end(), {"--set", one});
  return request;
}

}  // namespace

OptionTable run_options() {
  po::options_description options("options");
  add_experiment_options(options);
  auto add = options.add_options();
  add("workers", po::value<std::string>()->default_value("auto"),
      "processes that compute, or auto: one for each core or GPU, as far as the memory, the batch and the "
      "blocks allow");
  add("restart", "predict again, in place of an earlier prediction");
  add("overwrite", "start over: train and predict again");
  add("mpirun", po::value<std::string>()->default_value("mpirun"),
      "Open MPI's launcher, for 2 or more workers");
  return options;
}

int run_run(const OptionValues& values, const Communicator& world) {
  if (started_by_launcher()) {
    throw UsageError(
        "'tessera run' starts mpirun itself: start it alone, with --workers N in place of mpirun -n. Under "
        "mpirun and srun use train, infer and evaluate");
  }
  const ExperimentConfig first = read_experiment(values, {}, world);
  const std::set<Stage> stages = stages_of(first);
  // Read again with the needs of these stages, so that missing keys are reported now.
  const ExperimentConfig config = read_experiment(values,
                                                  {.training = stages.count(Stage::train) != 0,
                                                   .inference = stages.count(Stage::infer) != 0,
                                                   .segmentation = stages.count(Stage::segment) != 0},
                                                  world);
  const RunRequest request = request_of_run(values);
  import_images(config, InputUse::all, request.overwrite);
  if (Console* log = console()) log->show_warnings_once();
  std::ostringstream plan;  // not shown: problems are thrown before any stage begins
  check_experiment(config, false, plan);
  check_machine(config, 0, plan);
  return run_experiment(config, request);
}

}  // namespace tessera
