#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/infer/predict_volume.h"
#include "pipeline/inputs/image_inputs.h"
#include "pipeline/run/next_step.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

}  // namespace

OptionTable infer_options() {
  po::options_description options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  options.add_options()("restart", "start over: replace a result that exists already")("overwrite",
                                                                                       "the same");
  return options;
}

int run_infer(const OptionValues& values, const Communicator& world) {
  const ExperimentConfig config = read_experiment(values, {.inference = true}, world);
  RankWatch::set_limit({60 * config.infer.watchdog_minutes, "infer.watchdog_minutes"});
  import_images(config, InputUse::inference, world);
  const std::vector<InferenceVolume> volumes = chosen_volumes(values, config, world);
  const bool restart = values.count("restart") + values.count("overwrite") != 0;
  const StopSignal signal;
  const WallTime wall_time;
  const bool is_worker = world.size() == 1 || !world.is_root();
  const Device device = choose_device(world, is_worker, config.device, config.infer.threads);
  choose_algorithms(device, config.infer.reproducible);
  const InferenceNetwork network =
      load_inference_network(config, RunFolder(config.run_folder), world, is_worker);
  for_each_volume(volumes, world, [&](const InferenceVolume& volume) {
    const ExperimentConfig own = experiment_of(config, volume, {.inference = true});
    begin_volume(volumes, volume, *own.infer.raw, signal, world);
    predict_volume(own, {network, device, restart, signal, wall_time}, world);
  });
  if (world.is_root()) {
    const bool scores = config.evaluate.labels.has_value();
    tell_next(command_text(experiment_words(scores ? "evaluate" : "report", values)));
  }
  return kExitDone;
}

}  // namespace tessera
