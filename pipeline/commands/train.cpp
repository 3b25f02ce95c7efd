#include <fmt/format.h>

#include <iostream>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "pipeline/commands/commands.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/run/checkpoint_choice.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/train/training_loop.h"
#include "pipeline/train/training_plan.h"
#include "pipeline/train/training_record.h"
#include "workers/blocks/block_exchange.h"
#include "workers/mpi/agreement.h"
#include "workers/network/network_checkpoint.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage = "tessera train CONFIG.yaml [--set key=value ...] [--resume | --overwrite]";

enum TrainingTag : int {
  kTagTrainingEvent = 21,  ///< lead worker -> coordinator: TrainingEvent
  kTagStopTraining = 22,   ///< coordinator -> lead worker: empty
  kTagRowsWritten = 23,    ///< coordinator -> lead worker, after a `saving`: empty
};

/// What checkpoints need beside their arrays.
constexpr std::int64_t kCheckpointRoom = std::int64_t{2} << 20;

/// The coordinator beside workers: hears the lead worker until the training has ended.
void follow_training(const Communicator& world, TrainingRecorder& recorder, const StopSignal& signal) {
  PoliteWait idle;
  bool told = false;
  while (!recorder.ended()) {
    if (signal.asked() && !told) {
      world.send(1, kTagStopTraining, {});
      told = true;
    }
    if (const auto message = world.try_receive(kTagTrainingEvent)) {
      const auto event = value_of<TrainingEvent>(*message);
      recorder.hear(event);
      if (event.kind == TrainingEvent::saving) world.send(1, kTagRowsWritten, {});
      idle.reset();
    } else {
      idle.pause();
    }
  }
}

void require_new_run(const RunFolder& folder, bool resume, bool overwrite) {
  const bool has_run = !folder.checkpoints().newest_first().empty();
  if (!has_run || resume) return;
  if (!overwrite) {
    throw UsageError(
        fmt::format("{} holds a training already: go on with it by --resume, start over with --overwrite, or "
                    "set another experiment or run_folder",
                    folder.path().string()));
  }
  std::filesystem::remove_all(folder.path() / "checkpoints");
  std::filesystem::remove_all(folder.previews());
  std::filesystem::remove(folder.metrics());
}

}  // namespace

int run_train(const Arguments& arguments, const Communicator& world) {
  po::options_description options("options");
  add_experiment_options(options);
  options.add_options()("resume", "go on from the newest checkpoint of the run folder, if there is one")(
      "overwrite", "start over in a run folder that holds a training");
  const auto values = parse_arguments(arguments, kUsage, options, {"config"}, world.is_root());
  if (!values) return kExitDone;
  const bool resume = values->count("resume") != 0, overwrite = values->count("overwrite") != 0;
  if (resume && overwrite) throw UsageError("--resume and --overwrite exclude each other");
  ExperimentConfig config = read_experiment(*values, {.training = true}, world);
  const StopSignal signal;
  const WallTime wall_time;
  const RunFolder folder(config.run_folder);

  const bool alone = world.size() == 1;
  const bool is_worker = alone || !world.is_root();
  const Communicator workers = world.split(is_worker ? 1 : 0);
  const Device device = choose_device(world, is_worker, config.device, config.train.threads);
  choose_algorithms(device, config.train.trainer.reproducible);

  // All that can be wrong with the inputs comes out here, on every rank at once.
  std::unique_ptr<TrainingSet> data;
  const std::vector<AnnotatedVolume> volumes = find_volumes(config.data, world);
  std::vector<ValidationVolume> validation;
  TrainingPlan plan;
  // One precision for all: the lowest common one.
  const bool slower_in_half = is_worker && training_precision(config, device.cuda) == Precision::float32;
  const Precision precision = world.any(slower_in_half) ? Precision::float32 : Precision::bfloat16;
  config.train.trainer.precision = precision;
  const auto make_plan = [&](std::int64_t available) {
    plan = plan_training(config, volumes, {available, precision, device.cuda});
    config.train.trainer.samples.tile_side = plan.tile_side;
  };
  on_every_rank(world, [&] {
    if (!is_worker) return;  // memory is judged where the work is
    make_plan(device.cuda ? kAnyMemory : available_memory(device));
    data = std::make_unique<TrainingSet>(
        training_set_options(config, volumes, plan.context, plan.tile_side, device.threads));
  });
  // A step of its own: collective over the workers, where nobody may wait for one that failed before.
  on_every_rank(world, [&] {
    if (is_worker) validation = validation_volumes(volumes, *data, workers);
  });
  on_every_rank(world, [&] {
    if (!is_worker) make_plan(kAnyMemory);
  });
  on_root(world, [&] {
    require_new_run(folder, resume, overwrite);
    folder.checkpoints().remove_unfinished();
    folder.prepare("config.yaml", config.resolved_yaml);
    add_log_file(folder.log());
    // Weights, at most two vectors of the optimizer's and the average, for the newest and the best: known to
    // be too much now rather than at the first checkpoint.
    const std::int64_t vectors = config.train.trainer.average_decay > 0 ? 4 : 3;
    require_free_space(folder.path() / "checkpoints",
                       2 * vectors * 4 * parameter_count(config.network()) + kCheckpointRoom);
  });
  std::optional<LoadedCheckpoint> state;
  if (resume) state = load_newest_checkpoint(folder, world);
  const auto number = [&](const char* name, double fallback) {
    if (!state) return fallback;
    const auto found = state->checkpoint.numbers.find(name);
    return found == state->checkpoint.numbers.end() || found->second.empty() ? fallback : found->second[0];
  };
  std::unique_ptr<Trainer> trainer;
  // In steps, for the second is collective over the workers, and nobody may wait there for one that failed
  // before.
  std::shared_ptr<Network> network;
  on_every_rank(world, [&] {
    if (is_worker) network = make_network(config.network(), config.train.trainer.samples.seed);
  });
  on_every_rank(world, [&] {
    if (is_worker)
      trainer = std::make_unique<Trainer>(std::move(network), *data, config.train.trainer, device, workers);
  });
  on_every_rank(world, [&] {
    if (is_worker && state) trainer->restore(state->checkpoint, state->name);
  });
  std::vector<std::string> changes;
  if (state) {
    changes = changes_on_resume(config.train.validation_metric, config.train.trainer.average_decay > 0,
                                state->checkpoint);
    state->checkpoint.arrays.clear();  // as large as the network and its optimizer
  }
  const std::int64_t first = state ? state->checkpoint.counters.at("iteration") : 0;

  std::string computes;
  if (is_worker) computes = fmt::format("{}; {}", device.text(), trainer->engine_text());
  if (is_worker && device.cuda && !alone) computes += "; gradients by " + trainer->exchange_text();
  TrainingRecord record = start_training_record(world, computes);
  std::unique_ptr<TrainingRecorder> recorder;
  on_root(world, [&] {
    record.parameters = parameter_count(config.network());
    record.tile_side = plan.tile_side;
    record.global_batch = config.train.trainer.global_batch;
    record.precision = name_of(precision);
    if (state) {
      record.resumed_from = state->name;
      const auto before = state->checkpoint.texts.find("precision");
      if (before != state->checkpoint.texts.end() && before->second != record.precision) {
        spdlog::warn(
            "{} was trained in {}, this part will be in {}: to go on as before set train.precision: {}",
            state->name, before->second, record.precision, before->second);
      }
    }
    record.write(folder);
    recorder = std::make_unique<TrainingRecorder>(folder, first, config.train.iterations, true);
    for (const std::string& change : changes)
      spdlog::warn("{}: {}", state->name, change);
    spdlog::info(
        "experiment {}: {} with {} filters, {} parameters; {}, tile {}, global batch {}, {} worker{}{}",
        config.name, config.model.preset, config.model.base_filters, parameter_count(config.network()),
        name_of(precision), config.train.trainer.samples.tile_side, config.train.trainer.global_batch,
        alone ? 1 : world.size() - 1, world.size() == 2 || alone ? "" : "s",
        state ? fmt::format(", resumed from {}", state->name) : "");
    if (volumes.size() > 1) spdlog::info("{}", volumes_summary(volumes));
    const std::int64_t worker_count = alone ? 1 : world.size() - 1;
    if (worker_count > config.train.trainer.global_batch) {
      spdlog::warn(
          "{} workers share a global batch of {}: {} of them have nothing to do; raise train.global_batch",
          worker_count, config.train.trainer.global_batch, worker_count - config.train.trainer.global_batch);
    }
  });

  TrainingEnd end;
  if (is_worker) {
    TrainingLoop loop{config, folder, device, workers};
    loop.validation_budget = plan.validation_budget;
    loop.validation = validation;
    loop.several_volumes = volumes.size() > 1;
    loop.context = plan.context;
    loop.validation_due = number("validation_due", 0) > 0;
    loop.elapsed_before_s = number("elapsed_s", 0);
    loop.best = state ? BestValidation(config.train.validation_metric, state->checkpoint)
                      : BestValidation(config.train.validation_metric);
    loop.wall_time = wall_time;
    loop.stop_asked = [&] {
      return signal.asked() || (!alone && world.try_receive(kTagStopTraining).has_value());
    };
    loop.tell = [&](const TrainingEvent& event) {
      if (alone) {
        recorder->hear(event);
        return;
      }
      send_value(world, 0, kTagTrainingEvent, event);
      PoliteWait waiting;
      while (event.kind == TrainingEvent::saving && !world.try_receive(kTagRowsWritten))
        waiting.pause();
    };
    end = run_training_loop(*trainer, *data, loop);
  } else {
    follow_training(world, *recorder, signal);
  }
  world.broadcast(end.failure, alone ? 0 : 1);
  const bool stopped = world.any(end.stopped_early), for_time = world.any(end.for_time);
  on_root(world, [&] {
    record.end = !end.failure.empty() ? "failed" : stopped ? "stopped" : "done";
    record.ended_early = recorder->ended_early();
    try {
      record.write(folder);
    } catch (const Error&) {
      if (end.failure.empty()) throw;  // else what ended the training is the message to give
    }
  });
  if (!end.failure.empty()) throw AgreedError(end.failure);
  if (world.is_root()) {
    std::cout << fmt::format("run folder: {}\n", folder.path().string()) << std::flush;
  }
  if (stopped) {
    throw StoppedEarly(fmt::format("stopped {}; the state is saved: start again with --resume to go on",
                                   for_time ? "before the job's time limit" : "by a signal"));
  }
  return kExitDone;
}

}  // namespace tessera
