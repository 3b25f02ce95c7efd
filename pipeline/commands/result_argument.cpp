#include "pipeline/commands/result_argument.h"

#include "io/error.h"
#include "pipeline/config/experiment.h"

namespace tessera {

namespace po = boost::program_options;

void add_result_argument(po::options_description& options) {
  options.add_options()("result", po::value<std::string>(), "a result, FILE.h5:/path, or the experiment that made it");
}

DatasetName result_argument(const po::variables_map& values, const Communicator& world) {
  if (values.count("result") == 0)
    throw UsageError("a result is needed, such as prediction.h5:/volumes/predictions/interior");
  const auto text = values["result"].as<std::string>();
  if (text.ends_with(".yaml") || text.ends_with(".yml")) {
    return *read_experiment(text, {}, {.inference = true}, world).infer.output;
  }
  return parse_dataset_name(text);
}

}  // namespace tessera
