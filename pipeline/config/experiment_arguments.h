#pragma once

#include <boost/program_options.hpp>

#include "pipeline/config/experiment.h"

namespace tessera {

/// Adds the options of every verb with an experiment: the file and `--set`.
void add_experiment_options(boost::program_options::options_description& options);

/// Collective. Reads the experiment that the arguments name. Errors: UsageError.
ExperimentConfig read_experiment(const boost::program_options::variables_map& values,
                                 const ConfigNeeds& needs, const Communicator& world);

}  // namespace tessera
