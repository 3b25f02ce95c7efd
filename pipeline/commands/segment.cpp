#include <boost/program_options.hpp>
#include <optional>

#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/run/next_step.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"
#include "pipeline/segment/segment_volume.h"
#include "workers/device/device.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {

OptionTable segment_options() {
  OptionTable options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  options.add_options()  //
      ("restart", "start over: replace a result that exists already. Graph files that fit are kept")(
          "overwrite", "the same")  //
      ("update",
       "start over only where this experiment made the result with other keys, or of another prediction")(
          "cut", boost::program_options::value<double>(),
          "the objects at this threshold of a finished segmentation: without the first pass and the graph");
  return options;
}

int run_segment(const OptionValues& values, const Communicator& world) {
  const ExperimentConfig config = read_experiment(values, {.segmentation = true}, world);
  RankWatch::set_limit({60 * config.segment.watchdog_minutes, "segment.watchdog_minutes"});
  const StopSignal signal;
  const WallTime wall_time;
  const bool is_worker = world.size() == 1 || !world.is_root();
  const Device device = choose_cores(world, is_worker, config.segment.threads);
  const bool restart = values.count("restart") + values.count("overwrite") != 0;
  const bool update = values.count("update") != 0;
  std::optional<double> cut;
  if (values.count("cut") != 0) cut = values["cut"].as<double>();
  const std::vector<InferenceVolume> volumes = chosen_volumes(values, config, world, VolumeUse::segmentation);
  on_root(world, [&] { require_own_choices(config, volumes.size()); });
  for_each_volume(volumes, world, [&](const InferenceVolume& volume) {
    const ExperimentConfig own = experiment_of(config, volume, {.segmentation = true});
    begin_volume(volumes, volume, *own.segment.prediction, signal, world);
    segment_volume(own, {device, restart, update, cut, signal, wall_time}, world);
  });
  if (world.is_root())
    tell_next(command_text(experiment_words(config.evaluate.labels ? "evaluate" : "report", values)));
  return kExitDone;
}

}  // namespace tessera
