#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pipeline/run/progress.h"
#include "pipeline/run/run_folder.h"
#include "workers/train/trainer.h"
#include "workers/train/validator.h"

namespace tessera {

/// Why a training ended.
enum class EndReason : std::int32_t { iterations, minutes, patience, signal, time_limit, not_finite };

/// A message of the lead worker to the coordinator.
struct TrainingEvent {
  enum Kind : std::int32_t { step, validation, saving, checkpoint, finished, stopped, failed };
  Kind kind = step;
  TrainingStep training;
  double output_pixels = 0;  ///< of the step, over all workers
  double elapsed_s = 0;      ///< of the whole training, resumed parts together
  ValidationScores scores;   ///< of a validation
  bool best_so_far = false;
  EndReason reason = EndReason::iterations;  ///< of an end
  /// Of an end by patience: validations without a new best; 0: another end.
  std::int64_t validations_in_vain = 0;
  double left_s = 0;  ///< of an end by a signal: seconds of the iteration or validation that it ended
};

/// Writes metrics.csv and the log, and shows the progress, on the coordinator. Not thread-safe.
class TrainingRecorder {
 public:
  /// `first_iteration`: the last finished one; 0 for a new training. Later rows of the file are dropped.
  /// `minutes`: train.minutes. Errors: Error when the file cannot be written.
  TrainingRecorder(const RunFolder& folder, std::int64_t first_iteration, std::int64_t iterations,
                   double minutes, bool show_progress);

  /// Takes the next event. The row of a step is written with the event after it, which may be its validation,
  /// and at the latest with `saving`. Errors: Error when the file cannot be written.
  void hear(const TrainingEvent& event);
  /// Calls `validated` after each validation whose row is written.
  void on_validation(std::function<void()> validated) { validated_ = std::move(validated); }
  bool ended() const { return ended_; }
  /// Why and where the training ended, in one line, such as "4.0 of 4.0 minutes used, at iteration 601 of
  /// 1,200"; "" before the end.
  const std::string& end_text() const { return end_text_; }
  /// For the user of a training that stopped early: what is saved, what is lost, what to do.
  std::string stop_text() const;

 private:
  void tell_validation(const TrainingEvent& event);
  void end(const TrainingEvent& event);
  std::string place_text(std::int64_t iteration) const;

  std::filesystem::path file_;
  std::int64_t iterations_;
  double minutes_;
  std::ofstream metrics_;
  Progress progress_;
  double pixels_ = 0, begin_s_ = 0;
  std::int64_t last_iteration_ = 0;
  double last_loss_ = 0, waiting_ = 0, exchange_ = 0;
  std::int64_t steps_ = 0;
  std::optional<TrainingEvent> pending_;  ///< a step whose row is not written yet
  bool ended_ = false, told_inverted_ = false;
  TrainingEvent end_;  ///< the last event
  std::string end_text_;
  std::function<void()> validated_;

  void write_row(const TrainingEvent& step, const TrainingEvent* validation);
};

}  // namespace tessera
