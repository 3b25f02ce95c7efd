#include <boost/program_options.hpp>
#include <optional>

#include "io/base/error.h"
#include "pipeline/commands/commands.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"
#include "pipeline/segment/segment_volume.h"
#include "workers/device/device.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {

OptionTable segment_options() {
  OptionTable options("options");
  add_experiment_options(options);
  options.add_options()("restart",
                        "start over: replace a result that exists already. Graph files that fit are kept")(
      "overwrite", "the same")(
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
  const Device device = choose_device(world, is_worker, "cpu", config.segment.threads);
  const bool restart = values.count("restart") + values.count("overwrite") != 0;
  std::optional<double> cut;
  if (values.count("cut") != 0) cut = values["cut"].as<double>();
  segment_volume(config, {device, restart, cut, signal, wall_time}, world);
  return kExitDone;
}

}  // namespace tessera
