#include "pipeline/train/training_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/base/split_text.h"
#include "pipeline/run/score_text.h"

namespace tessera {
namespace {

constexpr const char* kHeader =
    "iteration,epoch,loss,pixel_error,learning_rate,elapsed_s,validation_pixel_error,validation_threshold,"
    "validation_iou,validation_rand_f,best,waiting_share,exchange_share,gradient_norm\n";

constexpr std::int64_t kMostText = std::int64_t{1} << 30;

/// Empty for an undefined value.
std::string cell(double value, int digits) {
  return std::isnan(value) ? "" : fmt::format("{:.{}f}", value, digits);
}

/// The rows of an earlier part of this training, up to and including an iteration.
std::string kept_rows(const std::filesystem::path& file, std::int64_t last_iteration) {
  std::string rows = kHeader;
  if (!file_exists(file)) return rows;
  std::vector<std::string> lines = split_text(file_text(file, kMostText), '\n');
  if (!lines.empty()) lines.erase(lines.begin());  // the header
  for (const std::string& line : lines) {
    std::size_t used = 0;
    std::int64_t iteration = 0;
    try {
      iteration = std::stoll(line, &used);
    } catch (const std::logic_error&) {
      continue;  // an incomplete row: the training was killed
    }
    if (used == 0 || line[used] != ',' || iteration > last_iteration) continue;
    // Rows of older versions have fewer columns: the others stay empty.
    const auto missing =
        std::count(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(rows.find('\n')), ',') -
        std::count(line.begin(), line.end(), ',');
    rows += line + std::string(static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, missing)), ',') + "\n";
  }
  return rows;
}

}  // namespace

TrainingRecorder::TrainingRecorder(const RunFolder& folder, std::int64_t first_iteration,
                                   std::int64_t iterations, double minutes, bool show_progress)
    : file_(folder.metrics()),
      iterations_(iterations),
      minutes_(minutes),
      progress_("train", static_cast<double>(iterations), "iterations", 1, show_progress,
                static_cast<double>(first_iteration)),
      begin_s_(seconds_now()),
      last_iteration_(first_iteration) {
  write_text_file(file_, first_iteration > 0 ? kept_rows(file_, first_iteration) : kHeader);
  metrics_.open(file_, std::ios::app);
  if (!metrics_) throw Error("cannot write " + file_.string());
}

void TrainingRecorder::write_row(const TrainingEvent& s, const TrainingEvent* v) {
  const bool judged = !std::isnan(s.training.pixel_error);
  metrics_ << fmt::format("{},{:.4f},{},{},{:.6g},{:.3f}", s.training.iteration, s.training.epoch,
                          judged ? fmt::format("{:.9g}", s.training.loss) : "",
                          cell(s.training.pixel_error, 6), s.training.learning_rate, s.elapsed_s);
  if (v != nullptr) {
    metrics_ << fmt::format(",{},{},{},{},{}", cell(v->scores.pixel_error, 6), cell(v->scores.threshold, 3),
                            cell(v->scores.iou, 6), cell(v->scores.rand_f, 6), v->best_so_far ? 1 : 0);
  } else {
    metrics_ << ",,,,,";
  }
  metrics_ << fmt::format(",{:.4f},{:.4f},{:.6g}\n", s.training.waiting_share, s.training.exchange_share,
                          s.training.gradient_norm);
  if (!metrics_.flush()) throw Error(fmt::format("cannot write {}: is the disk full?", file_.string()));
}

void TrainingRecorder::hear(const TrainingEvent& event) {
  if (pending_) {
    write_row(*pending_, event.kind == TrainingEvent::validation ? &event : nullptr);
    pending_.reset();
  }
  switch (event.kind) {
    case TrainingEvent::step:
      pending_ = event;
      pixels_ += event.output_pixels;
      waiting_ += event.training.waiting_share;
      exchange_ += event.training.exchange_share;
      ++steps_;
      if (!std::isnan(event.training.pixel_error))
        last_loss_ = last_loss_ == 0 ? event.training.loss : 0.9 * last_loss_ + 0.1 * event.training.loss;
      progress_.set_time(event.elapsed_s, 60 * minutes_);
      progress_.add(static_cast<double>(event.training.iteration - last_iteration_),
                    fmt::format("loss {:.4f}", last_loss_));
      last_iteration_ = event.training.iteration;
      break;
    case TrainingEvent::validation:
      tell_validation(event);
      if (validated_) validated_();
      break;
    case TrainingEvent::saving:
      break;
    case TrainingEvent::checkpoint:
      spdlog::debug("iteration {}: checkpoint written", event.training.iteration);
      break;
    case TrainingEvent::failed:
    case TrainingEvent::finished:
    case TrainingEvent::stopped:
      end(event);
      break;
  }
}

void TrainingRecorder::tell_validation(const TrainingEvent& event) {
  constexpr std::int64_t kLearned = 20;  ///< iterations after which the output is no chance any more
  const ValidationScores& scores = event.scores;
  const std::string missing = !scores.has_membrane && !scores.has_interior ? "no annotated pixel"
                              : !scores.has_membrane                       ? "no membrane in the labels"
                              : !scores.has_interior                       ? "no interior in the labels"
                                                                           : "";
  if (!missing.empty()) {
    spdlog::info("iteration {}: validation scores are undefined ({})", event.training.iteration, missing);
    return;
  }
  spdlog::info("iteration {}: validation pixel error {} at threshold {}, IoU {}, Rand F {}{}",
               event.training.iteration, score_text(scores.pixel_error, 4), score_text(scores.threshold, 2),
               score_text(scores.iou, 4), score_text(scores.rand_f, 4),
               event.best_so_far ? " (best so far)" : "");
  if (told_inverted_ || event.training.iteration < kLearned || !scores.looks_inverted) return;
  told_inverted_ = true;
  spdlog::warn(
      "iteration {}: the network's output anticorrelates with the labels of the held-out sections "
      "(correlation "
      "{:.2f}): the labels of some sections or volumes are probably inverted; see data.invert_labels",
      event.training.iteration, scores.correlation);
}

void TrainingRecorder::end(const TrainingEvent& event) {
  progress_.finish();
  ended_ = true;
  end_ = event;
  const std::string place = place_text(event.training.iteration);
  switch (event.reason) {
    case EndReason::iterations:
      end_text_ = fmt::format("all {} iterations done, in {}", with_thousands(iterations_),
                              duration_text(event.elapsed_s));
      break;
    case EndReason::minutes:
      end_text_ = fmt::format("{:.1f} of {:.1f} minutes used, {}", event.elapsed_s / 60, minutes_, place);
      break;
    case EndReason::patience:
      end_text_ = fmt::format("none of the last {} validations was better than the best (train.patience), {}",
                              event.validations_in_vain, place);
      break;
    case EndReason::signal:
      end_text_ = fmt::format("a signal came, {}", place);
      break;
    case EndReason::time_limit:
      end_text_ = fmt::format("the job's time limit is near, {}", place);
      break;
    case EndReason::not_finite:
      end_text_ = fmt::format("the loss is not finite after iteration {} of {}",
                              with_thousands(event.training.iteration), with_thousands(iterations_));
      break;
  }
  spdlog::info("ended: {}", end_text_);
  if (event.kind == TrainingEvent::failed) return;
  spdlog::info(
      "{} after {} iterations, {}, {:.2f} Mpx of output per second; of the steps' time {:.1f} % waiting for "
      "samples, {:.1f} % for the exchange of gradients",
      event.kind == TrainingEvent::stopped ? "stopped" : "trained", event.training.iteration,
      duration_text(event.elapsed_s), pixels_ / 1e6 / std::max(1e-9, seconds_now() - begin_s_),
      100 * waiting_ / static_cast<double>(std::max<std::int64_t>(1, steps_)),
      100 * exchange_ / static_cast<double>(std::max<std::int64_t>(1, steps_)));
}

std::string TrainingRecorder::place_text(std::int64_t iteration) const {
  return fmt::format("at iteration {} of {}", with_thousands(iteration), with_thousands(iterations_));
}

std::string TrainingRecorder::stop_text() const {
  const std::int64_t iteration = end_.training.iteration;
  std::string text =
      end_.reason == EndReason::time_limit ? "stopped before the job's time limit" : "stopped by a signal";
  text += iteration > 0 ? " " + place_text(iteration) : " in the first iteration";
  if (end_.left_s > 0.05) text += fmt::format(" ({:.1f} s of unfinished work are lost)", end_.left_s);
  return text + (iteration > 0 ? "; the state is saved: start again with --resume to go on"
                               : "; nothing is saved yet: start again with --resume to begin anew");
}

}  // namespace tessera
