#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "io/base/error.h"
#include "io/base/json_text.h"
#include "pipeline/cluster/run_status.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/config/experiment.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// The run folder that the argument names, directly or by its experiment.
RunFolder folder_of(const std::string& argument, const Communicator& world) {
  const std::filesystem::path path = argument;
  if (path.extension() != ".yaml" && path.extension() != ".yml") return RunFolder(path);
  return RunFolder(read_experiment(argument, {}, {}, world).run_folder);
}

}  // namespace

OptionTable status_options() {
  namespace po = boost::program_options;
  po::options_description options("options");
  options.add_options()                                                          //
      ("run", po::value<std::string>(), "run folder, or the experiment's file")  //
      ("json", "print JSON");
  return options;
}

int run_status(const OptionValues& values, const Communicator& world) {
  if (values.count("run") == 0)
    throw UsageError(fmt::format("name a run folder, or its experiment\nusage: {}", usage_of("status")));
  const RunFolder folder = folder_of(values["run"].as<std::string>(), world);
  bool failed = false;
  on_root(world, [&] {
    const RunStatus status = read_run_status(folder);
    failed = status.failed();
    std::cout << (values.count("json") != 0 ? json_text(status.json(), 2) + "\n" : status.text())
              << std::flush;
  });
  return world.any(failed) ? kExitFailed : kExitDone;
}

}  // namespace tessera
