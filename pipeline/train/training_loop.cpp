#include "pipeline/train/training_loop.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/utf8_text.h"
#include "io/images/png.h"
#include "pipeline/run/overlay.h"
#include "pipeline/train/training_record.h"
#include "pipeline/train/weight_map_picture.h"
#include "workers/mpi/agreement.h"
#include "workers/network/network_checkpoint.h"

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
        saved_iteration_(trainer.iteration()),
        output_side_(static_cast<double>(
            geometry_of(setup.config.network()).output_side(setup.config.train.trainer.samples.tile_side))),
        begin_s_(seconds_now()),
        saved_s_(begin_s_),
        longest_save_s_(static_cast<double>(16 * parameter_count(setup.config.network())) / kSlowDisk) {
    const bool reads_at_once = setup.workers.any(!setup.device.cuda);
    if (report_every_ == 0) report_every_ = reads_at_once ? 1 : kReportEveryOnCuda;
    trainer_.leave_when(setup.stop_asked);
  }

  TrainingEnd run() {
    try {
      return {train(), ""};
    } catch (const NonFiniteLoss& error) {
      report();  // the iterations before
      TrainingEvent failed = event(TrainingEvent::failed);
      failed.reason = EndReason::not_finite;
      failed.training.iteration = last_step_.iteration;
      tell(failed);
      return {false, error.what()};
    } catch (const UsageError& error) {
      throw Error(error.what());  // perhaps on this worker alone: it must end the job
    }
  }

 private:
  /// Returns whether the training stopped early.
  bool train() {
    const TrainConfig& config = setup_.config.train;
    if (lead() && config.weight_map.w0 > 0)
      write_weight_map_picture(data_.volume(0).first_section(), trainer_.samples().class_weights(),
                               setup_.folder);
    const double minutes = config.minutes;
    if (minutes > 0 && setup_.elapsed_before_s >= 60 * minutes && !setup_.validation_due)
      stop_ = StopWish::time_is_up;  // used up by earlier starts
    if (setup_.validation_due) {
      TrainingStep resumed;
      resumed.iteration = trainer_.iteration();
      validate_now(resumed);
    }
    while (trainer_.iteration() < config.iterations && stop_ == StopWish::none && !patience_is_over())
      iterate();
    const bool early = stop_ == StopWish::stop_early;
    TrainingEvent end = event(early ? TrainingEvent::stopped : TrainingEvent::finished);
    end.reason = reason();
    end.training.iteration = trainer_.iteration();
    end.left_s = left_s_;
    if (patience_is_over()) end.validations_in_vain = best_.without_best();
    tell(end);
    return early;
  }

  /// One iteration with what follows it.
  void iterate() {
    const TrainConfig& config = setup_.config.train;
    const IterationRequest request{wish(), save_is_due(), elapsed_share()};
    const double step_begin_s = seconds_now();
    const IterationEnd end = trainer_.advance(request);
    stop_ = end.stop;
    const std::int64_t iteration = trainer_.iteration();
    if (end.left) {
      left_s_ = seconds_now() - step_begin_s;
      report();
      if (iteration > saved_iteration_) save(last_step_);
      return;
    }
    const bool last = iteration == config.iterations || stop_ == StopWish::time_is_up;
    const bool saves =
        stop_ != StopWish::none || last || end.save || iteration % config.checkpoint_every == 0;
    // After a signal time is short: save, without a validation.
    validation_due_ = last || iteration % config.validate_every == 0;
    // A step is validated or saved only after it is known to be finite.
    if (saves || validation_due_ || iteration % report_every_ == 0) report();
    longest_step_s_ = std::max(longest_step_s_, seconds_now() - step_begin_s);
    if (stop_ != StopWish::stop_early && validation_due_) validate_now(last_step_);
    if (saves || stop_ != StopWish::none || patience_is_over()) save(last_step_);
  }

  void report() {
    trainer_.report([this](const TrainingStep& step) { tell_step(step); });
  }

  EndReason reason() const {
    if (stop_ == StopWish::stop_early) return for_time_ ? EndReason::time_limit : EndReason::signal;
    if (patience_is_over()) return EndReason::patience;
    return trainer_.iteration() >= setup_.config.train.iterations ? EndReason::iterations
                                                                  : EndReason::minutes;
  }

  /// Whether more than `checkpoint_minutes` would pass without a checkpoint. The lead worker's clock decides
  /// for all.
  bool save_is_due() const {
    const double minutes = setup_.config.train.checkpoint_minutes;
    return minutes > 0 && lead() && seconds_now() + longest_step_s_ - saved_s_ >= 60 * minutes;
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
    if (setup_.stop_asked()) return StopWish::stop_early;  // the iteration is left at once
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
    made.texts[kWritten] = now_utc();
    made.texts["precision"] = name_of(setup_.config.train.trainer.precision);
    made.texts["experiment"] = setup_.config.name;
    if (!setup_.initial_weights.empty()) made.texts[kInitialWeights] = setup_.initial_weights;
    made.numbers["elapsed_s"] = {elapsed_s()};
    made.numbers["validation_due"] = {validation_due_ ? 1.0 : 0.0};
    best_.store(made);
    setup_.raw_facts.store(made);
    return made;
  }

  void validate_now(const TrainingStep& step) {
    if (setup_.validation.empty()) {
      validation_due_ = false;
      return;
    }
    const double validation_begin_s = seconds_now();
    ValidationOptions options;
    options.volumes = setup_.validation;
    for (ValidationVolume& one : options.volumes) {
      if (data_.scope() == NormalisationScope::all) one.normalisation = trainer_.samples().normalisation();
    }
    options.context = setup_.context;
    options.device = setup_.device;
    options.memory_budget = setup_.validation_budget;
    options.must_leave = setup_.stop_asked;
    TrainingEvent made = event(TrainingEvent::validation);
    made.training = step;
    const std::shared_ptr<const Network> averaged = trainer_.averaged_network();
    const std::optional<ValidationScores> scores = validate(
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
    if (!scores) {  // still due: a resumed training makes it first
      stop_ = StopWish::stop_early;
      left_s_ = seconds_now() - validation_begin_s;
      return;
    }
    validation_due_ = false;
    made.scores = *scores;
    made.best_so_far = best_.hear(made.scores);
    if (made.best_so_far && lead()) write_checkpoint_file(setup_.folder.checkpoints().best(), checkpoint());
    made.elapsed_s = elapsed_s();
    tell(made);
    longest_validation_s_ = std::max(longest_validation_s_, seconds_now() - validation_begin_s);
  }

  void save(const TrainingStep& step) {
    saved_iteration_ = step.iteration;
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
    saved_s_ = seconds_now();
    longest_save_s_ = std::max(longest_save_s_, saved_s_ - save_begin_s);
    TrainingEvent made = event(TrainingEvent::checkpoint);
    made.training = step;
    tell(made);
  }

  Trainer& trainer_;
  const TrainingSet& data_;
  const TrainingLoop& setup_;
  BestValidation best_;
  TrainingStep last_step_;          ///< the last one reported
  StopWish stop_ = StopWish::none;  ///< the same on every worker
  bool validation_due_ = false, for_time_ = false;
  double left_s_ = 0;             ///< of the iteration or the validation that a signal ended
  std::int64_t report_every_;     ///< the same on every worker
  std::int64_t saved_iteration_;  ///< of the newest checkpoint; the same on every worker
  double output_side_;            ///< of a training tile, in pixels
  double begin_s_, saved_s_;
  /// Of this start. The time of a checkpoint starts as its size at the rate of a slow disk.
  double longest_step_s_ = 0, longest_validation_s_ = 0, longest_save_s_ = 0;
};

}  // namespace

TrainingEnd run_training_loop(Trainer& trainer, const TrainingSet& data, const TrainingLoop& loop) {
  return Loop(trainer, data, loop).run();
}

}  // namespace tessera
