#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <string>
#include <vector>

#include "pipeline/infer/inference_volumes.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Adds --volume and --volume-index.
void add_volume_choice(boost::program_options::options_description& options);

/// Whether one volume was asked for.
bool is_volume_chosen(const boost::program_options::variables_map& values);

/// Collective. The experiment's volumes, or the one that was asked for. Errors: UsageError where there is
/// none such, and what inference_volumes() throws.
std::vector<InferenceVolume> chosen_volumes(const boost::program_options::variables_map& values,
                                            const ExperimentConfig& config, const Communicator& world);

/// Collective. Runs `step` for each volume. One that fails on all ranks alike does not stop the others; a
/// stop by a signal does. A single volume's error is thrown as it is. Errors: AgreedError that lists what
/// failed.
void for_each_volume(const std::vector<InferenceVolume>& volumes, const Communicator& world,
                     const std::function<void(const InferenceVolume&)>& step);

/// "volume 2 of 20: NAME", to head what follows; "" where there is but one.
std::string heading(const std::vector<InferenceVolume>& volumes, const InferenceVolume& volume);

}  // namespace tessera
