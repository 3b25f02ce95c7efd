#include "pipeline/train/training_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/log.h"
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
  std::istringstream in(file_text(file, kMostText));
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::size_t used = 0;
    std::int64_t iteration = 0;
    try {
      iteration = std::stoll(line, &used);
    } catch (const std::exception&) {
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
                                   std::int64_t iterations, bool show_progress)
    : file_(folder.metrics()),
      progress_("train", static_cast<double>(iterations - first_iteration), "iterations", 1, show_progress),
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
      progress_.add(static_cast<double>(event.training.iteration - last_iteration_),
                    fmt::format("loss {:.4f}", last_loss_));
      last_iteration_ = event.training.iteration;
      break;
    case TrainingEvent::validation:
      spdlog::info("iteration {}: validation pixel error {} at threshold {}, IoU {}, Rand F {}{}",
                   event.training.iteration, score_text(event.scores.pixel_error, 4),
                   score_text(event.scores.threshold, 2), score_text(event.scores.iou, 4),
                   score_text(event.scores.rand_f, 4), event.best_so_far ? " (best so far)" : "");
      break;
    case TrainingEvent::saving:
      break;
    case TrainingEvent::checkpoint:
      spdlog::debug("iteration {}: checkpoint written", event.training.iteration);
      break;
    case TrainingEvent::failed:
      progress_.finish();
      ended_ = true;
      break;
    case TrainingEvent::finished:
    case TrainingEvent::stopped:
      progress_.finish();
      ended_ = true;
      stopped_ = event.kind == TrainingEvent::stopped;
      if (event.validations_in_vain > 0) {
        ended_early_ =
            fmt::format("none of the last {} validations was better than the best (train.patience)",
                        event.validations_in_vain);
        spdlog::info("ended early: {}", ended_early_);
      }
      spdlog::info(
          "{} after {} iterations, {}, {:.2f} Mpx of output per second; of the steps' time {:.1f} % waiting "
          "for samples, {:.1f} % for the exchange of gradients",
          stopped_ ? "stopped" : "trained", event.training.iteration, duration_text(event.elapsed_s),
          pixels_ / 1e6 / std::max(1e-9, seconds_now() - begin_s_),
          100 * waiting_ / static_cast<double>(std::max<std::int64_t>(1, steps_)),
          100 * exchange_ / static_cast<double>(std::max<std::int64_t>(1, steps_)));
      break;
  }
}

}  // namespace tessera
