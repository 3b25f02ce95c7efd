#include <iostream>

#include "pipeline/commands/commands.h"
#include "pipeline/commands/experiment_check.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "workers/mpi/agreement.h"

namespace tessera {

OptionTable check_options() {
  namespace po = boost::program_options;
  po::options_description options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  return options;
}

int run_check(const OptionValues& values, const Communicator& world) {
  const ExperimentConfig whole = read_experiment(values, {}, world);
  const bool is_chosen = is_volume_chosen(values);
  const ExperimentConfig config =
      is_chosen ? experiment_of(whole, chosen_volumes(values, whole, world).front(), {}) : whole;
  on_root(world, [&] {
    std::cout << "# every key with its value\n" << config.resolved_yaml << "\n";
    check_experiment(config, is_chosen, std::cout);
    std::cout << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
