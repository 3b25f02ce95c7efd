#include "workers/metrics/partition_scores.h"

#include <algorithm>
#include <cmath>

#include "workers/metrics/ratio.h"

namespace tessera {
namespace {

double square(std::int64_t value) {
  return static_cast<double>(value) * static_cast<double>(value);
}
double x_ln_x(double value) {
  return value > 0 ? value * std::log(value) : 0;
}
double pairs(std::int64_t value) {
  return static_cast<double>(value) * static_cast<double>(value - 1) / 2;
}

template <class Sums>
void add(Sums& sums, const Sums& other) {
  sums.truth += other.truth;
  sums.predicted += other.predicted;
  sums.both += other.both;
}

}  // namespace

RandSums& RandSums::operator+=(const RandSums& other) {
  add(*this, other);
  return *this;
}

InfoSums& InfoSums::operator+=(const InfoSums& other) {
  add(*this, other);
  return *this;
}

PairSums& PairSums::operator+=(const PairSums& other) {
  add(*this, other);
  all += other.all;
  return *this;
}

RandSums rand_sums(const Contingency& table) {
  RandSums sums;
  const auto singletons = static_cast<double>(table.in_interior[0]);
  for (std::size_t i = 1; i < table.truth.size(); ++i)
    sums.truth += square(table.truth[i]);
  for (std::size_t j = 1; j < table.in_interior.size(); ++j)
    sums.predicted += square(table.in_interior[j]);
  for (const Contingency::Entry& entry : table.entries) {
    if (entry.truth != 0 && entry.predicted != 0) sums.both += square(entry.pixels);
  }
  sums.predicted += singletons;
  sums.both += singletons;
  return sums;
}

InfoSums info_sums(const Contingency& table) {
  double n = 0, truth = 0, predicted = 0, both = 0;
  for (std::size_t i = 1; i < table.truth.size(); ++i) {
    n += static_cast<double>(table.truth[i]);
    truth += x_ln_x(static_cast<double>(table.truth[i]));
  }
  // Singletons add 1 ln 1 = 0 each.
  for (std::size_t j = 1; j < table.in_interior.size(); ++j)
    predicted += x_ln_x(static_cast<double>(table.in_interior[j]));
  for (const Contingency::Entry& entry : table.entries) {
    if (entry.truth != 0 && entry.predicted != 0) both += x_ln_x(static_cast<double>(entry.pixels));
  }
  return {x_ln_x(n) - truth, x_ln_x(n) - predicted, x_ln_x(n) - both};
}

PairSums pair_sums(const Contingency& table) {
  PairSums sums;
  std::int64_t pixels = 0;
  for (const std::int64_t object : table.truth) {
    sums.truth += pairs(object);
    pixels += object;
  }
  for (const std::int64_t object : table.predicted)
    sums.predicted += pairs(object);
  for (const Contingency::Entry& entry : table.entries)
    sums.both += pairs(entry.pixels);
  sums.all = pairs(pixels);
  return sums;
}

PartitionScores scores_of(const RandSums& s) {
  return {ratio(s.both, s.predicted), ratio(s.both, s.truth), ratio(2 * s.both, s.truth + s.predicted)};
}

PartitionScores scores_of(const PairSums& s) {
  return {ratio(s.both, s.predicted), ratio(s.both, s.truth), ratio(2 * s.both, s.truth + s.predicted)};
}

PartitionScores scores_of(const InfoSums& s) {
  if (s.truth <= 0) return {0, 1, 0};
  if (s.predicted <= 0) return {1, 0, 0};
  const double shared = std::max(0.0, s.truth + s.predicted - s.both);
  return {shared / s.truth, shared / s.predicted, 2 * shared / (s.truth + s.predicted)};
}

double rand_index_error(const PairSums& s) {
  return ratio(s.truth + s.predicted - 2 * s.both, s.all);
}

}  // namespace tessera
