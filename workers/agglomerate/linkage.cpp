#include "workers/agglomerate/linkage.h"

#include <cassert>
#include <cmath>

namespace tessera {
namespace {

constexpr std::uint64_t kMillion = 1'000'000;
/// The weight of the smallest step of 8 bits.
constexpr std::uint64_t kWeightOfBin = 257;

}  // namespace

Fraction weight_threshold(double threshold) {
  assert(threshold >= 0 && threshold <= 1);
  return {
      static_cast<std::uint64_t>(std::llround(threshold * static_cast<double>(kMillion))) * kProbabilityOne,
      kMillion};
}

std::uint16_t quantile_weight(std::span<const HistogramBin> bins, int percent) {
  assert(!bins.empty() && percent >= 1 && percent <= 100);
  std::uint64_t total = 0;
  for (const HistogramBin& one : bins)
    total += one.count;
  const Fraction needed{static_cast<std::uint64_t>(percent) * total, 100};
  std::uint64_t below = 0;
  for (const HistogramBin& one : bins) {
    below += one.count;
    if (Fraction{below, 1} >= needed) return static_cast<std::uint16_t>(one.bin * kWeightOfBin);
  }
  return static_cast<std::uint16_t>(bins.back().bin * kWeightOfBin);
}

}  // namespace tessera
