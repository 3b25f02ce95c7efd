#include <fmt/format.h>

#include <iostream>

#include "io/base/error.h"
#include "pipeline/commands/commands.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/inputs/image_inputs.h"
#include "pipeline/report/live_report.h"
#include "pipeline/run/next_step.h"
#include "pipeline/train/training_run.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {

namespace po = boost::program_options;

OptionTable train_options() {
  po::options_description options("options");
  add_experiment_options(options);
  options.add_options()("resume", "go on from the newest checkpoint of the run folder, if there is one")(
      "overwrite", "start over in a run folder that holds a training");
  return options;
}

int run_train(const OptionValues& values, const Communicator& world) {
  const bool resume = values.count("resume") != 0, overwrite = values.count("overwrite") != 0;
  if (resume && overwrite) throw UsageError("--resume and --overwrite exclude each other");
  const ExperimentConfig config = read_experiment(values, {.training = true}, world);
  RankWatch::set_limit(
      SilenceLimit::of_collectives(60 * config.train.watchdog_minutes, "train.watchdog_minutes"));
  import_images(config, InputUse::training, world);
  const StopSignal signal;
  const WallTime wall_time;
  const ExistingRun existing = resume      ? ExistingRun::resume
                               : overwrite ? ExistingRun::overwrite
                                           : ExistingRun::reject;
  LiveReport report(config.run_folder);
  const TrainingOutcome outcome =
      run_training(config, existing, signal, wall_time, world, [&] { report.update(); });
  if (world.is_root()) {
    if (!outcome.stopped) report.finish();  // a stopped job has little time left
    std::cout << fmt::format("run folder: {}\n", config.run_folder.string()) << std::flush;
  }
  if (outcome.stopped) throw StoppedEarly(outcome.message);
  if (world.is_root()) {
    const bool predicts = config.infer.output && config.infer.raw;
    tell_next(
        command_text(experiment_words(predicts ? "infer" : "report", values), predicts ? world.size() : 1));
  }
  return kExitDone;
}

}  // namespace tessera
