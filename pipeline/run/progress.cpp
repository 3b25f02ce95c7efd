#include "pipeline/run/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "io/base/clock.h"
#include "io/base/console.h"

namespace tessera {
namespace {

constexpr int kLeastBar = 8, kLongestBar = 30;
constexpr double kRedraw_s = 0.2, kLineEvery_s = 10, kFirstLine_s = 2;
constexpr double kOneReport_s = 0.05;
constexpr std::int64_t kReportsForRate = 3;

std::string rate_text(const ProgressState& state) {
  if (state.per_s <= 0) return {};
  if (!state.counts) return fmt::format("{:.{}f} {}/s", state.per_s, state.per_s < 10 ? 2 : 1, state.unit);
  return state.per_s >= 1 ? fmt::format("{:.1f}/s", state.per_s)
                          : fmt::format("{:.1f} s each", 1 / state.per_s);
}

/// The parts of the line, the most important first.
struct Parts {
  std::string count, left, remark, rate;
};

Parts parts_of(const ProgressState& state) {
  Parts parts;
  const int digits = state.counts ? 0 : state.total < 1 ? 3 : 1;
  parts.count = fmt::format("{:.{}f} of {:.{}f} {}", state.done, digits, state.total, digits, state.unit);
  if (state.is_over)
    parts.left = "in " + duration_text(state.left_s);
  else
    parts.left = state.left_s < 0 ? "estimating the time" : duration_text(state.left_s) + " left";
  parts.remark = state.remark;
  parts.rate = rate_text(state);
  return parts;
}

/// In the order of the line.
std::string joined(const Parts& parts) {
  std::string text;
  for (const std::string* part : {&parts.count, &parts.rate, &parts.left, &parts.remark}) {
    if (!part->empty()) text += (text.empty() ? "" : ", ") + *part;
  }
  return text;
}

/// Below 100 before the end.
int percent_of(const ProgressState& state) {
  return static_cast<int>(100 * std::clamp(state.share, 0.0, 1.0));
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole >= 3600) return fmt::format("{} h {:02d} min", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{} min {:02d} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

std::string progress_text(const ProgressState& state) {
  return fmt::format("{}: {} %, {}", state.what, percent_of(state), joined(parts_of(state)));
}

std::string progress_bar(const ProgressState& state, int columns) {
  Parts parts = parts_of(state);
  const std::string head = fmt::format("{} {:3} %", state.what, percent_of(state));
  const auto room_for_bar = [&] {
    return columns - static_cast<int>(head.size() + joined(parts).size()) - 4;  // " [" and "] "
  };
  for (std::string* part : {&parts.rate, &parts.remark, &parts.count}) {
    if (room_for_bar() >= kLeastBar) break;
    part->clear();
  }
  const int bar = std::min(room_for_bar(), kLongestBar);
  std::string line = head;
  if (bar >= kLeastBar) {
    const auto filled = static_cast<std::size_t>(std::clamp(state.share, 0.0, 1.0) * bar);
    line += " [" + std::string(filled, '#') + std::string(static_cast<std::size_t>(bar) - filled, '.') + "]";
  }
  line += " " + joined(parts);
  return line.substr(0, static_cast<std::size_t>(std::max(0, columns)));
}

Progress::Progress(std::string what, double total, std::string unit, double scale, bool shown, double before)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      scale_(scale),
      before_(before),
      shown_(shown),
      begin_s_(seconds_now()),
      last_drawn_s_(begin_s_ + kFirstLine_s - kLineEvery_s) {}

Progress::~Progress() {
  if (Console* const shown_on = console(); shown_ && shown_on != nullptr) shown_on->end_status();
}

std::string with_thousands(std::int64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3 && text[at - 4] != '-';)
    text.insert(at -= 3, ",");
  return text;
}

double Progress::elapsed_s() const {
  return seconds_now() - begin_s_;
}

void Progress::set_time(double used_s, double limit_s) {
  used_s_ = used_s;
  limit_s_ = limit_s;
  used_at_s_ = seconds_now();
}

void Progress::add(double done, const std::string& remark) {
  done_ += done;
  if (!remark.empty()) remark_ = remark;
  const double now = seconds_now();
  if (reports_ == 0 || now - report_s_ > kOneReport_s) {
    ++reports_;
    report_s_ = now;
  }
  if (reports_ == 1) {
    first_s_ = now;
    first_done_ = done_;
  }
  if (!shown_) return;
  const Console* const shown_on = console();
  const bool redraws = shown_on != nullptr && shown_on->has_status_line();
  if (redraws
          ? now - last_drawn_s_ >= kRedraw_s
          : reports_ >= kReportsForRate && now - last_drawn_s_ >= kLineEvery_s && before_ + done_ < total_)
    draw(now);
}

ProgressState Progress::state_at(double now_s) const {
  ProgressState state{.what = what_, .unit = unit_, .remark = remark_};
  state.done = (before_ + done_) / scale_;
  state.total = total_ / scale_;
  state.counts = scale_ == 1;
  state.share = total_ > 0 ? (before_ + done_) / total_ : 0;
  state.is_over = is_over_;
  if (reports_ >= kReportsForRate && done_ > first_done_) {
    const double rate = (done_ - first_done_) / std::max(1e-9, now_s - first_s_);
    state.per_s = rate / scale_;
    state.left_s = std::max(0.0, total_ - before_ - done_) / rate;
  }
  if (limit_s_ > 0) {
    const double used = used_s_ + now_s - used_at_s_, left = std::max(0.0, limit_s_ - used);
    state.share = std::max(state.share, std::min(1.0, used / limit_s_));
    if (state.left_s >= 0) state.left_s = std::min(state.left_s, left);
  }
  if (is_over_) state.left_s = now_s - begin_s_;
  return state;
}

void Progress::draw(double now_s) {
  last_drawn_s_ = now_s;
  Console* const shown_on = console();
  if (shown_on != nullptr && shown_on->has_status_line())
    shown_on->show_status(progress_bar(state_at(now_s), shown_on->columns() - 1));
  else
    fmt::print(stderr, "{}\n", progress_text(state_at(now_s)));
}

void Progress::finish() {
  Console* const shown_on = console();
  is_over_ = true;
  if (!shown_ || shown_on == nullptr || !shown_on->has_status_line()) return;
  draw(seconds_now());
  shown_on->end_status();
}

}  // namespace tessera
