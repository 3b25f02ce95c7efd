#pragma once

#include <boost/program_options.hpp>
#include <optional>

#include "pipeline/blocks/coordinator.h"
#include "workers/mpi/silence_watch.h"

namespace tessera {

/// Adds --max-retries and --watchdog-minutes, for verbs that process blocks without an experiment.
void add_block_options(boost::program_options::options_description& options);

/// Adds --watchdog-minutes; its default is for the help text.
void add_silence_option(boost::program_options::options_description& options);
/// The value of that option; none where it is not given. Errors: UsageError.
std::optional<SilenceLimit> silence_option(const boost::program_options::variables_map& values);

/// The values of these options. Errors: UsageError.
CoordinatorOptions block_options(const boost::program_options::variables_map& values);

}  // namespace tessera
