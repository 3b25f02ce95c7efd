#include "pipeline/train/training_loop.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/utf8_text.h"
#include "io/images/png.h"
#include "pipeline/run/overlay.h"
#include "pipeline/train/weight_map_picture.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

constexpr double kSlowDisk = 50e6;  ///< bytes per second
/// Iterations between two waits for the device: with the paper's network a fraction of a second.
constexpr std::int64_t kReportEveryOnCuda = 20;

/// One training on one worker.
class Loop {
 public:
  Loop(Trainer& trainer, const TrainingSet& data, const TrainingLoop& setup)
      : trainer_(trainer),
        data_(data),
        setup_(setup),
        best_(setup.best),
        report_every_(setup.config.train.report_every),
        output_side_(static_cast<double>(
            geometry_of(setup.config.network()).output_side(setup.config.train.trainer.samples.tile_side))),
        begin_s_(seconds_now()),
        longest_save_s_(static_cast<double>(16 * parameter_count(setup.config.network())) / kSlowDisk) {
    const bool reads_at_once = setup.workers.any(!setup.device.cuda);
    if (report_every_ == 0) report_every_ = reads_at_once ? 1 : kReportEveryOnCuda;
  }

  TrainingEnd run() {
    try {
      const bool early = train();
      return {early, early && for_time_, ""};
    } catch (const NonFiniteLoss& error) {
      trainer_.report([this](const TrainingStep& step) { tell_step(step); });  // the iterations before
      tell(event(TrainingEvent::failed));
      return {false, false, error.what()};
    } catch (const UsageError& error) {
      throw Error(error.what());  // perhaps on this worker alone: it must end the job
    }
  }

 private:
  bool train() {
    const TrainConfig& config = setup_.config.train;
    StopWish stop = StopWish::none;
    if (lead() && config.weight_map.w0 > 0)
      write_weight_map_picture(data_.volume(0).first_section(), trainer_.samples().class_weights(),
                               setup_.folder);
    if (setup_.validation_due) {
      TrainingStep resumed;
      resumed.iteration = trainer_.iteration();
      validate_now(resumed);
    }
    while (trainer_.iteration() < config.iterations && stop == StopWish::none && !patience_is_over()) {
      const StopWish mine = wish();
      const double step_begin_s = seconds_now();
      stop = trainer_.advance(mine, elapsed_share());
      const std::int64_t iteration = trainer_.iteration();
      const bool last = iteration == config.iterations || stop == StopWish::time_is_up;
      const bool saves = stop != StopWish::none || last || iteration % config.checkpoint_every == 0;
      // After a signal time is short: save, without a validation.
      validation_due_ = last || iteration % config.validate_every == 0;
      // A step is validated or saved only after it is known to be finite.
      if (saves || validation_due_ || iteration % report_every_ == 0)
        trainer_.report([this](const TrainingStep& step) { tell_step(step); });
      longest_step_s_ = std::max(longest_step_s_, seconds_now() - step_begin_s);
      if (stop != StopWish::stop_early && validation_due_) validate_now(last_step_);
      if (saves || patience_is_over()) save(last_step_);
    }
    TrainingEvent end =
        event(stop == StopWish::stop_early ? TrainingEvent::stopped : TrainingEvent::finished);
    end.training.iteration = trainer_.iteration();
    if (patience_is_over()) end.validations_in_vain = best_.without_best();
    tell(end);
    return stop == StopWish::stop_early;
  }

  bool lead() const { return setup_.workers.rank() == 0; }
  double elapsed_s() const { return setup_.elapsed_before_s + seconds_now() - begin_s_; }

  /// The same on every worker, because the scores are.
  bool patience_is_over() const {
    const std::int64_t patience = setup_.config.train.patience;
    return patience > 0 && best_.without_best() >= patience;
  }

  /// The lead worker's clock decides for all.
  double elapsed_share() const {
    const double minutes = setup_.config.train.minutes;
    return minutes > 0 && lead() ? elapsed_s() / (60 * minutes) : 0;
  }

  StopWish wish() {
    if (setup_.stop_asked()) return StopWish::stop_early;
    for_time_ = lead() && !setup_.wall_time.allows(seconds_to_next_chance());
    if (for_time_) return StopWish::stop_early;
    const double minutes = setup_.config.train.minutes;
    return minutes > 0 && lead() && elapsed_s() >= 60 * minutes ? StopWish::time_is_up : StopWish::none;
  }

  /// The time until the training could stop after the next iteration but one.
  double seconds_to_next_chance() const {
    const std::int64_t next = trainer_.iteration() + 1;
    const bool validates =
        next % setup_.config.train.validate_every == 0 || next == setup_.config.train.iterations;
    // Before the first validation: ten iterations.
    const double validation_s = longest_validation_s_ > 0 ? longest_validation_s_ : 10 * longest_step_s_;
    return 2 * longest_step_s_ + 2 * longest_save_s_ + (validates ? validation_s : 0);
  }

  TrainingEvent event(TrainingEvent::Kind kind) const {
    TrainingEvent made;
    made.kind = kind;
    made.elapsed_s = elapsed_s();
    return made;
  }

  void tell(const TrainingEvent& what) const {
    if (lead()) setup_.tell(what);
  }

  void tell_step(const TrainingStep& step) {
    last_step_ = step;
    TrainingEvent made = event(TrainingEvent::step);
    made.training = step;
    const TrainerOptions& options = setup_.config.train.trainer;
    made.output_pixels = output_side_ * output_side_ * static_cast<double>(options.global_batch);
    tell(made);
  }

  Checkpoint checkpoint() const {
    Checkpoint made;
    trainer_.store(made);
    made.texts["config"] = shown_as_utf8(setup_.config.resolved_yaml);
    made.texts["version"] = tessera_version();
    made.texts["precision"] = name_of(setup_.config.train.trainer.precision);
    made.texts["experiment"] = setup_.config.name;
    made.numbers["elapsed_s"] = {elapsed_s()};
    made.numbers["validation_due"] = {validation_due_ ? 1.0 : 0.0};
    best_.store(made);
    return made;
  }

  void validate_now(const TrainingStep& step) {
    validation_due_ = false;
    if (setup_.validation.empty()) return;
    const double validation_begin_s = seconds_now();
    ValidationOptions options;
    options.volumes = setup_.validation;
    for (ValidationVolume& one : options.volumes) {
      if (data_.scope() == NormalisationScope::all) one.normalisation = trainer_.samples().normalisation();
    }
    options.context = setup_.context;
    options.device = setup_.device;
    options.memory_budget = setup_.validation_budget;
    TrainingEvent made = event(TrainingEvent::validation);
    made.training = step;
    const std::shared_ptr<const Network> averaged = trainer_.averaged_network();
    made.scores = validate(
        averaged ? *averaged : trainer_.network(), options, setup_.workers,
        [&](const PredictedSection& section) {
          const std::vector<double> probability(section.probability.begin(), section.probability.end());
          const RgbImage picture = side_by_side(
              section_panels(section.raw, section.truth, probability, 0.5, section.height, section.width));
          const std::string volume =
              setup_.several_volumes ? fmt::format("_volume_{:03d}", section.volume) : "";
          const auto file = setup_.folder.previews() / fmt::format("iteration_{:08d}{}_section_{:04d}.png",
                                                                   step.iteration, volume, section.z);
          write_png(file, picture.height, picture.width, 3, picture.pixels);
        });
    made.best_so_far = best_.hear(made.scores);
    if (made.best_so_far && lead()) write_checkpoint_file(setup_.folder.checkpoints().best(), checkpoint());
    made.elapsed_s = elapsed_s();
    tell(made);
    longest_validation_s_ = std::max(longest_validation_s_, seconds_now() - validation_begin_s);
  }

  void save(const TrainingStep& step) {
    if (!lead()) {
      if (setup_.saved) setup_.saved();
      return;
    }
    const double save_begin_s = seconds_now();
    tell(event(TrainingEvent::saving));
    const CheckpointFolder folder = setup_.folder.checkpoints();
    write_checkpoint_file(folder.at_iteration(step.iteration), checkpoint());
    folder.keep_newest(static_cast<std::size_t>(setup_.config.train.keep_checkpoints), step.iteration);
    // Without held-out sections, or where no score was defined, the newest checkpoint counts as the best.
    if (!best_.score()) write_checkpoint_file(folder.best(), checkpoint());
    if (setup_.saved) setup_.saved();
    longest_save_s_ = std::max(longest_save_s_, seconds_now() - save_begin_s);
    TrainingEvent made = event(TrainingEvent::checkpoint);
    made.training = step;
    tell(made);
  }

  Trainer& trainer_;
  const TrainingSet& data_;
  const TrainingLoop& setup_;
  BestValidation best_;
  TrainingStep last_step_;  ///< the last one reported
  bool validation_due_ = false, for_time_ = false;
  std::int64_t report_every_;  ///< the same on every worker
  double output_side_;         ///< of a training tile, in pixels
  double begin_s_;
  /// Of this start. The time of a checkpoint starts as its size at the rate of a slow disk.
  double longest_step_s_ = 0, longest_validation_s_ = 0, longest_save_s_ = 0;
};

}  // namespace

TrainingEnd run_training_loop(Trainer& trainer, const TrainingSet& data, const TrainingLoop& loop) {
  return Loop(trainer, data, loop).run();
}

}  // namespace tessera
