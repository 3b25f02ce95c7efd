#pragma once

#include <boost/program_options.hpp>

#include "io/dataset_name.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Adds the positional `result`: a dataset, or an experiment whose infer.output it is.
void add_result_argument(boost::program_options::options_description& options);

/// Collective. The result that the arguments name. Errors: UsageError.
DatasetName result_argument(const boost::program_options::variables_map& values, const Communicator& world);

}  // namespace tessera
