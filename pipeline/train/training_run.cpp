#include "pipeline/train/training_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/base/split_text.h"
#include "pipeline/run/checkpoint_choice.h"
#include "pipeline/run/progress.h"
#include "pipeline/train/changed_settings.h"
#include "pipeline/train/training_exchange.h"
#include "pipeline/train/training_loop.h"
#include "pipeline/train/training_plan.h"
#include "pipeline/train/training_record.h"
#include "workers/mpi/agreement.h"
#include "workers/network/initial_weights.h"
#include "workers/network/network_checkpoint.h"
#include "workers/samples/class_shares.h"

namespace tessera {
namespace {

/// Bytes of a checkpoint beside its arrays.
constexpr std::int64_t kCheckpointRoom = std::int64_t{2} << 20;

/// One training on one rank. Every method is collective over the world; run() calls them in order.
class TrainingRun {
 public:
  TrainingRun(ExperimentConfig config, ExistingRun existing, const StopSignal& signal,
              const WallTime& wall_time, const Communicator& world, std::function<void()> validated)
      : config_(std::move(config)),
        existing_(existing),
        signal_(signal),
        wall_time_(wall_time),
        world_(world),
        stop_(world, signal),
        validated_(std::move(validated)),
        place_(RunFolder(config_.run_folder)),
        alone_(world.size() == 1),
        is_worker_(alone_ || !world.is_root()),
        workers_(world.split(is_worker_ ? 1 : 0)),
        device_(choose_device(world, is_worker_, config_.device, config_.train.threads)) {
    choose_algorithms(device_, config_.train.trainer.reproducible);
  }

  ~TrainingRun() {
    if (alone_) place_.give_up();
  }
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  TrainingOutcome run() {
    on_root(world_, [&] { lock_ = FileLock(config_.run_folder); });
    read_inputs();
    prepare_folder();
    prepare_training();
    return end(train());
  }

 private:
  /// Errors of all ranks leave the older training as it was.
  void prepare_training() {
    try {
      make_trainer();
      start_records();
    } catch (const AgreedError&) {
      if (world_.is_root()) place_.give_up();
      throw;
    } catch (const UsageError&) {
      if (world_.is_root()) place_.give_up();
      throw;
    }
  }

  /// Finds all that can be wrong with the inputs, on every rank at once.
  void read_inputs() {
    volumes_ = find_volumes(config_.data, world_);
    // One precision for all workers: the lowest common one.
    const bool float32 = is_worker_ && training_precision(config_, device_.cuda) == Precision::float32;
    precision_ = world_.any(float32) ? Precision::float32 : Precision::bfloat16;
    config_.train.trainer.precision = precision_;
    on_every_rank(world_, [&] {
      if (!is_worker_) return;  // only workers can judge their memory
      make_plan(device_.cuda ? kAnyMemory : available_memory(device_));
      data_ = std::make_unique<TrainingSet>(
          training_set_options(config_, volumes_, plan_.context, plan_.tile_side, device_.threads));
    });
    share_classes();
    // A step of its own: it is collective over the workers, and none may wait for one that failed before.
    on_every_rank(world_, [&] {
      if (is_worker_) validation_ = validation_volumes(volumes_, *data_, workers_);
    });
    on_every_rank(world_, [&] {
      if (!is_worker_) make_plan(kAnyMemory);
    });
  }

  /// All workers hold the same training set. The first one tells the root what it has.
  void share_classes() {
    const int first = alone_ ? 0 : 1;
    if (data_) shares_ = data_->class_shares();
    std::array<std::uint64_t, 3> sizes{shares_.counts.size(), shares_.ids.size(),
                                       shares_.ids_look_like_cells ? 1U : 0U};
    world_.broadcast(std::as_writable_bytes(std::span(sizes)), first);
    shares_.counts.resize(sizes[0]);
    shares_.ids.resize(sizes[1]);
    shares_.ids_look_like_cells = sizes[2] > 0;
    world_.broadcast(std::as_writable_bytes(std::span(shares_.counts)), first);
    world_.broadcast(std::as_writable_bytes(std::span(shares_.ids)), first);
    std::string notes = fmt::format("{}", fmt::join(shares_.notes, "\n"));
    world_.broadcast(notes, first);
    shares_.notes = split_text(notes, '\n');
    on_every_rank(world_, [&] { require_classes(shares_, config_.data.allow_one_class); });
  }

  void make_plan(std::int64_t available) {
    plan_ = plan_training(config_, volumes_, {available, precision_, device_.cuda});
    config_.train.trainer.samples.tile_side = plan_.tile_side;
  }

  void prepare_folder() {
    on_root(world_, [&] {
      // The newest and the best checkpoint: weights, at most two vectors of the optimizer, and the average.
      // Too little space is reported now, not at the first checkpoint.
      const std::int64_t vectors = config_.train.trainer.average_decay > 0 ? 4 : 3;
      place_.prepare(existing_, 2 * vectors * 4 * parameter_count(config_.network()) + kCheckpointRoom);
      place_.current().checkpoints().remove_unfinished();
      place_.current().prepare("config.yaml", config_.resolved_yaml);
      add_log_file(RunFolder(config_.run_folder).log());
    });
    replaces_ = world_.any(place_.replaces());
    place_.follow(replaces_);
    if (existing_ == ExistingRun::resume && !replaces_)
      state_ = load_newest_checkpoint(place_.current(), world_);
    if (existing_ == ExistingRun::resume && !replaces_ && !state_ && world_.is_root())
      spdlog::info("nothing to resume in {}: a new training", config_.run_folder.string());
  }

  void make_trainer() {
    std::optional<LoadedCheckpoint> initial;
    if (!state_ && !config_.train.initial_weights.empty())
      initial = load_checkpoint_of(config_.train.initial_weights, "train.initial_weights", world_);
    // In separate steps: the second is collective over the workers, and none may wait for one that failed in
    // the first.
    std::shared_ptr<Network> network;
    on_every_rank(world_, [&] {
      std::optional<InitialWeights> weights;
      if (initial) {
        weights = find_initial_weights(config_.network(), initial->checkpoint, initial->name);
        initial_weights_ = initial_weights_json(initial->name, age_text(initial->checkpoint), *weights);
      }
      if (weights && world_.is_root()) spdlog::info("weights of {}: {}", initial->name, weights->text());
      if (!is_worker_) return;
      network = make_network(config_.network(), config_.train.trainer.samples.seed);
      if (weights) take_weights(*weights, initial->checkpoint, initial->name, *network);
    });
    initial.reset();
    on_every_rank(world_, [&] {
      if (is_worker_) {
        trainer_ =
            std::make_unique<Trainer>(std::move(network), *data_, config_.train.trainer, device_, workers_);
      }
    });
    on_every_rank(world_, [&] {
      if (is_worker_ && state_) trainer_->restore(state_->checkpoint, state_->name);
    });
    if (!state_) return;
    if (const auto before = state_->checkpoint.texts.find(kInitialWeights);
        before != state_->checkpoint.texts.end())
      initial_weights_ = before->second;
    changes_ = changes_on_resume(config_.train.validation_metric, config_.train.trainer.average_decay > 0,
                                 state_->checkpoint);
    const auto before = state_->checkpoint.texts.find("config");
    if (before != state_->checkpoint.texts.end()) {
      const std::string changed = changed_settings(before->second, config_.resolved_yaml);
      if (!changed.empty()) changes_.push_back("its training had other settings: " + changed);
    }
    state_->checkpoint.arrays.clear();  // as large as the network and its optimizer
  }

  void start_records() {
    std::string computes;
    if (is_worker_) computes = fmt::format("{}; {}", device_.text(), trainer_->engine_text());
    if (is_worker_ && device_.cuda && !alone_) computes += "; gradients by " + trainer_->exchange_text();
    record_ = start_training_record(world_, computes);
    on_root(world_, [&] {
      record_.parameters = parameter_count(config_.network());
      record_.tile_side = plan_.tile_side;
      record_.global_batch = config_.train.trainer.global_batch;
      record_.precision = name_of(precision_);
      record_.initial_weights = initial_weights_;
      if (state_) note_resume();
      record_.write(place_.current());
      const std::int64_t first = state_ ? state_->checkpoint.counters.at("iteration") : 0;
      recorder_ = std::make_unique<TrainingRecorder>(place_.current(), first, config_.train.iterations,
                                                     config_.train.minutes, true);
      recorder_->on_validation([this] { tell_validation(); });
      for (const std::string& change : changes_)
        spdlog::warn("{}: {}", state_->name, change);
      warn_of_nothing_to_do();
      log_start();
    });
  }

  /// An older training is in the run folder until another rank has replaced it.
  void tell_validation() const {
    const bool older = place_.replaces() && file_exists(place_.current().path());
    if (validated_ && !older) validated_();
  }

  void note_resume() {
    record_.resumed_from = state_->name;
    // A training that was killed right after its last checkpoint has not removed the oldest one.
    place_.current().checkpoints().keep_newest(static_cast<std::size_t>(config_.train.keep_checkpoints),
                                               state_->checkpoint.counters.at("iteration"));
    const auto before = state_->checkpoint.texts.find("precision");
    if (before != state_->checkpoint.texts.end() && before->second != record_.precision) {
      spdlog::warn(
          "{} was trained in {}, this part will be in {}: to go on as before set train.precision: {}",
          state_->name, before->second, record_.precision, before->second);
    }
  }

  /// A resumed training whose time or iterations are over.
  void warn_of_nothing_to_do() const {
    if (!state_ || resumed_number("validation_due") > 0) return;
    const double minutes = config_.train.minutes, used_s = resumed_number("elapsed_s");
    const std::int64_t iteration = state_->checkpoint.counters.at("iteration");
    if (iteration >= config_.train.iterations) {
      spdlog::warn("{} has all {} iterations: nothing to do; raise train.iterations to go on", state_->name,
                   with_thousands(config_.train.iterations));
    } else if (minutes > 0 && used_s >= 60 * minutes) {
      spdlog::warn(
          "{} has used {:.1f} of {:.1f} minutes, at iteration {} of {}: nothing to do; raise train.minutes "
          "to "
          "go on",
          state_->name, used_s / 60, minutes, with_thousands(iteration),
          with_thousands(config_.train.iterations));
    }
  }

  void log_start() const {
    const std::int64_t workers = alone_ ? 1 : world_.size() - 1;
    const std::int64_t batch = config_.train.trainer.global_batch;
    spdlog::info(
        "experiment {}: {} with {} filters, {} parameters; {}, tile {}, global batch {}, {} worker{}{}",
        config_.name, config_.model.preset, config_.model.base_filters, parameter_count(config_.network()),
        name_of(precision_), config_.train.trainer.samples.tile_side, batch, workers, workers == 1 ? "" : "s",
        state_ ? fmt::format(", resumed from {}", state_->name) : "");
    if (volumes_.size() > 1) spdlog::info("{}", volumes_summary(volumes_));
    spdlog::info("{} annotated voxels: {}", shares_.voxels(), shares_.text());
    for (const std::string& doubt : shares_.doubts())
      spdlog::warn("{}", doubt);
    if (const std::string idle = idle_workers_doubt(config_, workers); !idle.empty())
      spdlog::warn("{}", idle);
  }

  /// A number of the checkpoint that the training resumes from.
  double resumed_number(const char* name) const {
    if (!state_) return 0;
    const auto found = state_->checkpoint.numbers.find(name);
    return found == state_->checkpoint.numbers.end() || found->second.empty() ? 0 : found->second[0];
  }

  TrainingEnd train() {
    if (!is_worker_) {
      follow_training(world_, *recorder_, signal_);
      return {};
    }
    TrainingLoop loop{config_, place_.current(), device_, workers_};
    // Every worker writes previews. The next step of the training is collective, so no worker writes into the
    // new place before the files are there.
    loop.saved = [this] { workers_.is_root() ? place_.take_over() : place_.taken_over(); };
    loop.validation_budget = plan_.validation_budget;
    loop.validation = validation_;
    loop.several_volumes = volumes_.size() > 1;
    for (const AnnotatedVolume& one : volumes_) {
      if (one.train_sections()) loop.raw_facts.add(one.raw);
    }
    loop.context = plan_.context;
    loop.initial_weights = initial_weights_;
    loop.validation_due = resumed_number("validation_due") > 0;
    loop.elapsed_before_s = resumed_number("elapsed_s");
    loop.best = state_ ? BestValidation(config_.train.validation_metric, state_->checkpoint)
                       : BestValidation(config_.train.validation_metric);
    loop.wall_time = wall_time_;
    loop.stop_asked = [this] { return stop_.asked(); };
    loop.tell = [this](const TrainingEvent& event) {
      alone_ ? recorder_->hear(event) : send_event(world_, event);
    };
    return run_training_loop(*trainer_, *data_, loop);
  }

  /// Completes the record, and makes all ranks leave in the same way.
  TrainingOutcome end(TrainingEnd mine) {
    world_.broadcast(mine.failure, alone_ ? 0 : 1);
    const bool stopped = world_.any(mine.stopped_early);
    TrainingOutcome outcome{stopped, ""};
    if (world_.any(replaces_ && !place_.replaces())) place_.taken_over();  // by the worker that writes
    on_root(world_, [&] {
      outcome.message = recorder_->stop_text();
      if (place_.replaces()) {  // the run folder holds the older training
        stopped ? place_.leave() : place_.give_up();
        return;
      }
      record_.end = !mine.failure.empty() ? RunEnd::failed : stopped ? RunEnd::stopped : RunEnd::done;
      record_.ended = recorder_->end_text();
      try {
        record_.write(place_.current());
      } catch (const Error&) {
        if (mine.failure.empty()) throw;  // else the failure of the training is the message to report
      }
    });
    if (!mine.failure.empty()) throw AgreedError(mine.failure);
    return outcome;
  }

  ExperimentConfig config_;
  ExistingRun existing_;
  const StopSignal& signal_;
  WallTime wall_time_;
  const Communicator& world_;
  StopNews stop_;
  std::function<void()> validated_;
  FileLock lock_;  ///< of the run folder, on the root
  TrainingPlace place_;
  bool replaces_ = false;  ///< an older training, when its first checkpoint is complete
  bool alone_, is_worker_;
  Communicator workers_;
  Device device_;

  std::vector<AnnotatedVolume> volumes_;
  Precision precision_ = Precision::float32;
  TrainingPlan plan_;
  std::unique_ptr<TrainingSet> data_;  ///< on workers
  ClassShares shares_;
  std::vector<ValidationVolume> validation_;  ///< on workers
  std::optional<LoadedCheckpoint> state_;     ///< of a resumed training
  std::unique_ptr<Trainer> trainer_;          ///< on workers
  std::string initial_weights_;               ///< JSON; "": none
  std::vector<std::string> changes_;
  TrainingRecord record_;
  std::unique_ptr<TrainingRecorder> recorder_;  ///< on the root
};

}  // namespace

TrainingOutcome run_training(ExperimentConfig config, ExistingRun existing, const StopSignal& signal,
                             const WallTime& wall_time, const Communicator& world,
                             const std::function<void()>& validated) {
  return TrainingRun(std::move(config), existing, signal, wall_time, world, validated).run();
}

}  // namespace tessera
