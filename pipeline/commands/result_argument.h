#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <vector>

#include "io/volume/dataset_name.h"
#include "pipeline/infer/inference_volumes.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Adds the positional `result` (a dataset, or an experiment, which stands for its infer.output) and
/// --volume.
void add_result_argument(boost::program_options::options_description& options);

/// A result and its volume in the experiment.
struct NamedResult {
  InferenceVolume volume;
  DatasetName result;
};

/// Collective. The results that the arguments name: one, or those of all volumes of the experiment. Errors:
/// UsageError, and those of inference_volumes().
std::vector<NamedResult> result_argument(const boost::program_options::variables_map& values,
                                         const Communicator& world);

/// Collective. Errors: UsageError, which names the verb to start first, where the file of an experiment's
/// result does not exist. `experiment`: its file.
void require_predicted(const DatasetName& result, const std::string& experiment, const Communicator& world);

/// Collective. for_each_volume() over results.
void for_each_result(const std::vector<NamedResult>& results, const Communicator& world,
                     const std::function<void(const DatasetName&)>& step);

}  // namespace tessera
