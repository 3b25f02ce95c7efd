#include <iostream>
#include <nlohmann/json.hpp>

#include "io/base/error.h"
#include "io/base/json_text.h"
#include "pipeline/cluster/run_status.h"
#include "pipeline/commands/commands.h"
#include "pipeline/config/experiment.h"
#include "pipeline/run/command_line.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

constexpr const char* kStatusUsage = "tessera status RUN_FOLDER|CONFIG.yaml [--json]";

/// The run folder that the argument names, directly or by its experiment.
RunFolder folder_of(const std::string& argument, const Communicator& world) {
  const std::filesystem::path path = argument;
  if (path.extension() != ".yaml" && path.extension() != ".yml") return RunFolder(path);
  return RunFolder(read_experiment(argument, {}, {}, world).run_folder);
}

}  // namespace

int run_status(const Arguments& arguments, const Communicator& world) {
  namespace po = boost::program_options;
  po::options_description options("options");
  options.add_options()                                                          //
      ("run", po::value<std::string>(), "run folder, or the experiment's file")  //
      ("json", "print JSON");
  const auto values = parse_arguments(arguments, kStatusUsage, options, {"run"}, world.is_root());
  if (!values) return kExitDone;
  if (values->count("run") == 0)
    throw UsageError(std::string("name a run folder, or its experiment\nusage: ") + kStatusUsage);
  const RunFolder folder = folder_of((*values)["run"].as<std::string>(), world);
  bool failed = false;
  on_root(world, [&] {
    const RunStatus status = read_run_status(folder);
    failed = status.failed();
    std::cout << (values->count("json") != 0 ? json_text(status.json(), 2) + "\n" : status.text())
              << std::flush;
  });
  return world.any(failed) ? kExitFailed : kExitDone;
}

}  // namespace tessera
