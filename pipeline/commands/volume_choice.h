#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <string>
#include <vector>

#include "pipeline/infer/inference_volumes.h"
#include "pipeline/run/stop_signal.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Adds --volume and --volume-index.
void add_volume_choice(boost::program_options::options_description& options);

/// Whether the arguments choose one volume.
bool is_volume_chosen(const boost::program_options::variables_map& values);

/// Collective. The experiment's volumes, or the chosen one. Errors: UsageError when it does not exist, and
/// those of volumes_for().
std::vector<InferenceVolume> chosen_volumes(const boost::program_options::variables_map& values,
                                            const ExperimentConfig& config, const Communicator& world,
                                            VolumeUse use = VolumeUse::inference);

/// Collective. Runs `step` for each volume. A volume that fails on all ranks does not stop the others; a stop
/// signal does. The error of a single volume is thrown unchanged. Errors: AgreedError with the list of
/// failures.
void for_each_volume(const std::vector<InferenceVolume>& volumes, const Communicator& world,
                     const std::function<void(const InferenceVolume&)>& step);

/// "volume 2 of 20: NAME", a heading for the volume's output; "" when there is only one volume.
std::string heading(const std::vector<InferenceVolume>& volumes, const InferenceVolume& volume);

/// Collective. Begins the output of one of several volumes: prints its heading and what is read, unless a
/// signal arrived since the volume before. Does nothing for a single volume. Errors: StoppedEarly.
void begin_volume(const std::vector<InferenceVolume>& volumes, const InferenceVolume& volume,
                  const DatasetName& input, const StopSignal& signal, const Communicator& world);

}  // namespace tessera
