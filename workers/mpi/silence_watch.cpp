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
/// A rank may keep others waiting for so many times the limit, and at least for so long.
constexpr double kStandstill = 4, kShortestStandstill_s = 20;

}  // namespace

std::string silence_text(double seconds) {
  return seconds < 120 ? fmt::format("{:.0f} s", seconds) : fmt::format("{:.0f} min", seconds / 60);
}

SilenceLimit SilenceLimit::of_collectives(double seconds, std::string setting) {
  SilenceLimit limit{seconds, std::move(setting)};
  if (seconds > 0) limit.standstill_s = std::max(kShortestStandstill_s, kStandstill * seconds);
  return limit;
}

SilenceWatch::SilenceWatch(int rank, std::vector<std::string> hosts, double now_s)
    : rank_(rank),
      hosts_(std::move(hosts)),
      heard_s_(hosts_.size(), now_s),
      waits_s_(hosts_.size(), 0),
      last_look_s_(now_s) {
  if (rank_ != 0) heard_ranks_ = {0};
  for (int other = 1; rank_ == 0 && other < static_cast<int>(hosts_.size()); ++other)
    heard_ranks_.push_back(other);
}

double SilenceWatch::interval_s(int ranks) {
  return std::clamp(ranks / kPulsesPerSecond, kShortest_s, kLongest_s);
}

void SilenceWatch::heard(int rank, double now_s, double waits_s) {
  heard_s_.at(static_cast<std::size_t>(rank)) = now_s;
  waits_s_.at(static_cast<std::size_t>(rank)) = waits_s;
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
  std::vector<int> ranks;
  double longest_s = 0;
  for (const int rank : heard_ranks_) {
    const double silent_s = now_s - heard_s_[static_cast<std::size_t>(rank)];
    if (silent_s < patience_s / 2) continue;
    longest_s = std::max(longest_s, silent_s);
    ranks.push_back(rank);
  }
  return fmt::format("{} {} not heard of for {}", named(ranks), ranks.size() > 1 ? "were" : "was",
                     silence_text(longest_s));
}

std::string SilenceWatch::standstill(double limit_s, double own_wait_s) const {
  if (rank_ != 0) return {};  // it hears rank 0 alone
  std::vector<double> waits_s = waits_s_;
  waits_s[static_cast<std::size_t>(rank_)] = own_wait_s;
  const double longest_s = std::ranges::max(waits_s);
  if (longest_s <= limit_s) return {};
  std::vector<int> working;
  for (int rank = 0; rank < static_cast<int>(waits_s.size()); ++rank) {
    if (waits_s[static_cast<std::size_t>(rank)] < limit_s / 2) working.push_back(rank);
  }
  return working.empty()
             ? fmt::format("all ranks have waited for one another for {}", silence_text(longest_s))
             : fmt::format("{} kept the others waiting for {}", named(working), silence_text(longest_s));
}

std::string SilenceWatch::named(const std::vector<int>& ranks) const {
  std::string text;
  for (std::size_t i = 0; i < std::min(ranks.size(), kNamed); ++i)
    text += fmt::format("{}rank {} on {}", i > 0 ? ", " : "", ranks[i],
                        hosts_[static_cast<std::size_t>(ranks[i])]);
  if (ranks.size() > kNamed) text += fmt::format(" and {} more ranks", ranks.size() - kNamed);
  return text;
}

}  // namespace tessera
