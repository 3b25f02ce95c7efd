#include "pipeline/run/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "io/base/clock.h"

namespace tessera {

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole >= 3600) return fmt::format("{} h {:02d} min", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{} min {:02d} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

Progress::Progress(std::string what, double total, std::string unit, double scale, bool shown, double before)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      scale_(scale),
      before_(before),
      shown_(shown),
      terminal_(isatty(STDERR_FILENO) != 0),
      begin_s_(seconds_now()),
      last_drawn_s_(begin_s_) {}

Progress::~Progress() {
  if (bar_drawn_) std::fputc('\n', stderr);
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

void Progress::add(double done, const std::string& remark) {
  done_ += done;
  if (!remark.empty()) remark_ = remark;
  const double now = seconds_now();
  if (shown_ && now - last_drawn_s_ >= (terminal_ ? 0.2 : 10.0)) draw(now);
}

void Progress::draw(double now_s) {
  last_drawn_s_ = now_s;
  const double rate = done_ / std::max(1e-9, now_s - begin_s_);
  const double share = total_ > 0 ? std::clamp((before_ + done_) / total_, 0.0, 1.0) : 0;
  const std::string numbers = fmt::format(
      "{:.1f} of {:.1f} {}, {:.2f} {}/s, {} left{}{}", (before_ + done_) / scale_, total_ / scale_, unit_,
      rate / scale_, unit_, rate > 0 ? duration_text((total_ - before_ - done_) / rate) : "?",
      remark_.empty() ? "" : ", ", remark_);
  if (!terminal_) {
    fmt::print(stderr, "{}: {:3.0f} %, {}\n", what_, 100 * share, numbers);
    return;
  }
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(share * kWidth);
  fmt::print(stderr, "\r{} [{}{}] {:3.0f} % {}\033[K", what_,
             std::string(static_cast<std::size_t>(filled), '#'),
             std::string(static_cast<std::size_t>(kWidth - filled), '.'), 100 * share, numbers);
  std::fflush(stderr);
  bar_drawn_ = true;
}

void Progress::finish() {
  if (shown_ && terminal_) draw(seconds_now());
  if (bar_drawn_) std::fputc('\n', stderr);
  bar_drawn_ = false;
}

}  // namespace tessera
