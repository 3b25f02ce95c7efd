#pragma once

#include <cstdint>

namespace tessera {

/// Random numbers keyed by (seed, epoch, sample), never by rank. They are the same with every compiler,
/// unlike the standard library's distributions.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t epoch, std::uint64_t sample);

  std::uint64_t next();
  /// In [0, 1).
  double uniform();
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// A whole number in [low, high], both included; low <= high.
  std::int64_t integer(std::int64_t low, std::int64_t high);
  /// Normal: mean 0, standard deviation 1. Consumes two numbers.
  double normal();
  /// Skips so many numbers.
  void skip(std::uint64_t numbers) { state_ += numbers * kStep; }
  /// The number after `i` others is mix_bits(state() + (i + 1) kStep), modulo 2^64.
  std::uint64_t state() const { return state_; }
  static constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15ULL;

 private:
  std::uint64_t state_;
};

}  // namespace tessera
