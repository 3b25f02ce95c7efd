#include "pipeline/commands/result_argument.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment.h"
#include "workers/mpi/agreement.h"

namespace tessera {

namespace po = boost::program_options;

void add_result_argument(po::options_description& options) {
  options.add_options()("result", po::value<std::string>(),
                        "a result, FILE.h5:/path, or the experiment that made it");
  add_volume_choice(options);
}

std::vector<NamedResult> result_argument(const po::variables_map& values, const Communicator& world) {
  if (values.count("result") == 0)
    throw UsageError("a result is needed, such as prediction.h5:/volumes/predictions/interior");
  const auto text = values["result"].as<std::string>();
  if (text.ends_with(".yaml") || text.ends_with(".yml")) {
    const ConfigNeeds needs{.inference = true};
    const ExperimentConfig config = read_experiment(text, {}, needs, world);
    std::vector<NamedResult> results;
    for (const InferenceVolume& one : chosen_volumes(values, config, world))
      results.push_back({one, *experiment_of(config, one, needs).infer.output});
    if (results.size() == 1) require_predicted(results.front().result, text, world);
    return results;
  }
  if (is_volume_chosen(values))
    throw UsageError("--volume chooses a volume of an experiment: name the experiment");
  return {{{text, {}}, parse_dataset_name(text)}};
}

void require_predicted(const DatasetName& result, const std::string& experiment, const Communicator& world) {
  on_root(world, [&] {
    if (file_exists(result.file)) return;
    throw UsageError(fmt::format(
        "there is no {}, the result of {}: run 'tessera infer {}' first, or start this in the folder where "
        "that was started",
        result.file.string(), experiment, experiment));
  });
}

void for_each_result(const std::vector<NamedResult>& results, const Communicator& world,
                     const std::function<void(const DatasetName&)>& step) {
  std::vector<InferenceVolume> volumes;
  volumes.reserve(results.size());
  for (const NamedResult& one : results)
    volumes.push_back(one.volume);
  for_each_volume(volumes, world, [&](const InferenceVolume& volume) {
    step(std::ranges::find(results, volume.name, [](const NamedResult& one) {
           return one.volume.name;
         })->result);
  });
}

}  // namespace tessera
