#include "workers/mpi/silence_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tessera {
namespace {

constexpr double kPulsesPerSecond = 1000, kShortest_s = 0.5, kLongest_s = 10;
/// A limit is at least so many heartbeats.
constexpr double kPulsesMissed = 3;
/// The next rank reports a silent rank 0 so much later, so that there is one message and not one per rank.
constexpr double kStagger_s = 2, kLongestStagger_s = 20;
constexpr std::size_t kNamed = 4;

}  // namespace

std::string silence_text(double seconds) {
  return seconds < 120 ? fmt::format("{:.0f} s", seconds) : fmt::format("{:.0f} min", seconds / 60);
}

SilenceWatch::SilenceWatch(int rank, std::vector<std::string> hosts, double now_s)
    : rank_(rank), hosts_(std::move(hosts)), heard_s_(hosts_.size(), now_s), last_look_s_(now_s) {
  if (rank_ != 0) heard_ranks_ = {0};
  for (int other = 1; rank_ == 0 && other < static_cast<int>(hosts_.size()); ++other)
    heard_ranks_.push_back(other);
}

double SilenceWatch::interval_s(int ranks) {
  return std::clamp(ranks / kPulsesPerSecond, kShortest_s, kLongest_s);
}

void SilenceWatch::heard(int rank, double now_s) {
  heard_s_.at(static_cast<std::size_t>(rank)) = now_s;
}

std::string SilenceWatch::silent(double limit_s, double now_s) {
  const double interval = interval_s(static_cast<int>(hosts_.size()));
  const double stagger_s = std::min(std::max(0, rank_ - 1) * kStagger_s, kLongestStagger_s);
  const double patience_s = std::max(limit_s, kPulsesMissed * interval) + kLater_s + stagger_s;
  const double gap_s = now_s - std::exchange(last_look_s_, now_s);
  if (gap_s > std::max(limit_s / 2, 2 * interval)) std::ranges::fill(heard_s_, now_s);
  const auto is_late = [&](int rank) {
    return now_s - heard_s_[static_cast<std::size_t>(rank)] > patience_s;
  };
  if (std::ranges::none_of(heard_ranks_, is_late)) return {};
  return list_of(patience_s / 2, now_s);
}

std::string SilenceWatch::list_of(double shortest_s, double now_s) const {
  std::string text;
  std::size_t count = 0;
  double longest_s = 0;
  for (const int rank : heard_ranks_) {
    const auto at = static_cast<std::size_t>(rank);
    const double silent_s = now_s - heard_s_[at];
    if (silent_s < shortest_s) continue;
    longest_s = std::max(longest_s, silent_s);
    if (++count <= kNamed) text += fmt::format("{}rank {} on {}", count > 1 ? ", " : "", rank, hosts_[at]);
  }
  if (count > kNamed) text += fmt::format(" and {} more ranks", count - kNamed);
  return fmt::format("{} {} not heard of for {}", text, count > 1 ? "were" : "was", silence_text(longest_s));
}

}  // namespace tessera
