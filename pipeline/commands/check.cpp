#include <iostream>

#include "pipeline/commands/commands.h"
#include "pipeline/commands/experiment_check.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/run/command_line.h"
#include "workers/mpi/agreement.h"

namespace tessera {

int run_check(const Arguments& arguments, const Communicator& world) {
  namespace po = boost::program_options;
  po::options_description options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  const auto values = parse_arguments(
      arguments, "tessera check CONFIG.yaml [--set key=value ...] [--volume NAME | --volume-index N]",
      options, {"config"}, world.is_root());
  if (!values) return kExitDone;
  const ExperimentConfig whole = read_experiment(*values, {}, world);
  const bool is_chosen = is_volume_chosen(*values);
  const ExperimentConfig config =
      is_chosen ? experiment_of(whole, chosen_volumes(*values, whole, world).front(), {}) : whole;
  on_root(world, [&] {
    std::cout << "# every key with its value\n" << config.resolved_yaml << "\n";
    check_experiment(config, is_chosen, std::cout);
    std::cout << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
