#pragma once

#include <boost/program_options.hpp>

#include "pipeline/blocks/coordinator.h"

namespace tessera {

/// Adds --max-retries and --watchdog-minutes, for verbs that process blocks without an experiment.
void add_block_options(boost::program_options::options_description& options);

/// The values of these options. Errors: UsageError.
CoordinatorOptions block_options(const boost::program_options::variables_map& values);

}  // namespace tessera
