#include "pipeline/config/experiment_arguments.h"

#include "io/base/error.h"

namespace tessera {

namespace po = boost::program_options;

void add_experiment_options(po::options_description& options) {
  options.add_options()                                                    //
      ("config", po::value<std::string>(), "the experiment, a YAML file")  //
      ("set", po::value<std::vector<std::string>>()->composing(),
       "key=value, overrides a key, such as train.seed=2");
}

ExperimentConfig read_experiment(const po::variables_map& values, const ConfigNeeds& needs,
                                 const Communicator& world) {
  if (values.count("config") == 0)
    throw UsageError("an experiment file is needed, such as configs/isbi2012.yaml");
  std::vector<std::string> overrides;
  if (values.count("set") != 0) overrides = values["set"].as<std::vector<std::string>>();
  return read_experiment(values["config"].as<std::string>(), overrides, needs, world);
}

}  // namespace tessera
