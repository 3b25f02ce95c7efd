#include "workers/numbers/random_stream.h"

#include <cmath>
#include <numbers>

#include "workers/numbers/bit_mix.h"

namespace tessera {
RandomStream::RandomStream(std::uint64_t seed, std::uint64_t epoch, std::uint64_t sample)
    : state_(mix_bits(mix_bits(mix_bits(seed + kStep) ^ (epoch + kStep)) ^ (sample + kStep))) {}

std::uint64_t RandomStream::next() {
  state_ += kStep;
  return mix_bits(state_);
}

double RandomStream::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

std::int64_t RandomStream::integer(std::int64_t low, std::int64_t high) {
  const auto span = static_cast<double>(high - low + 1);
  return low + static_cast<std::int64_t>(uniform() * span);
}

double RandomStream::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

}  // namespace tessera
