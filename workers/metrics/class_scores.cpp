#include "workers/metrics/class_scores.h"

#include <algorithm>
#include <cassert>

#include "workers/metrics/ratio.h"

namespace tessera {
namespace {

double share(std::int64_t part, std::int64_t whole) {
  return ratio(static_cast<double>(part), static_cast<double>(whole));
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(std::int64_t class_count)
    : classes(class_count), counts(static_cast<std::size_t>(class_count * class_count), 0) {}

std::int64_t ConfusionMatrix::at(std::int64_t truth, std::int64_t predicted) const {
  return counts[static_cast<std::size_t>(truth * classes + predicted)];
}

void ConfusionMatrix::add(std::int64_t truth, std::int64_t predicted, std::int64_t voxels) {
  assert(truth >= 0 && truth < classes && predicted >= 0 && predicted < classes);
  counts[static_cast<std::size_t>(truth * classes + predicted)] += voxels;
}

ConfusionMatrix& ConfusionMatrix::operator+=(const ConfusionMatrix& other) {
  assert(classes == other.classes);
  for (std::size_t i = 0; i < counts.size(); ++i)
    counts[i] += other.counts[i];
  return *this;
}

ConfusionMatrix ConfusionMatrix::trimmed() const {
  std::int64_t used = 1;
  for (std::int64_t i = 0; i < classes * classes; ++i) {
    if (counts[static_cast<std::size_t>(i)] != 0) used = std::max({used, i / classes + 1, i % classes + 1});
  }
  ConfusionMatrix smaller(used);
  for (std::int64_t truth = 0; truth < used; ++truth) {
    for (std::int64_t predicted = 0; predicted < used; ++predicted)
      smaller.add(truth, predicted, at(truth, predicted));
  }
  return smaller;
}

ConfusionScores scores_of(const ConfusionMatrix& matrix) {
  ConfusionScores scores;
  std::int64_t voxels = 0, right = 0, present = 0;
  double iou = 0, dice = 0;
  for (std::int64_t c = 0; c < matrix.classes; ++c) {
    ClassScores one;
    for (std::int64_t other = 0; other < matrix.classes; ++other) {
      one.truth += matrix.at(c, other);
      one.predicted += matrix.at(other, c);
    }
    one.both = matrix.at(c, c);
    one.iou = share(one.both, one.truth + one.predicted - one.both);
    one.dice = share(2 * one.both, one.truth + one.predicted);
    one.precision = share(one.both, one.predicted);
    one.recall = share(one.both, one.truth);
    voxels += one.truth;
    right += one.both;
    if (one.truth + one.predicted > 0) {
      ++present;
      iou += one.iou;
      dice += one.dice;
    }
    scores.classes.push_back(one);
  }
  scores.accuracy = share(right, voxels);
  scores.mean_iou = ratio(iou, static_cast<double>(present));
  scores.mean_dice = ratio(dice, static_cast<double>(present));
  return scores;
}

}  // namespace tessera
