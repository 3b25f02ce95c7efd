#include "workers/metrics/label_scores.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "workers/metrics/ratio.h"

namespace tessera {
namespace {

/// Sums of Jaccard indices are sent as integers in units of 2^-36. Their sum does not depend on the order,
/// and the error of a mean is below 1e-11.
constexpr double kJaccardUnits = 68719476736.0;

/// The number of objects (or pairs) per number of voxels. A volume of n voxels has at most sqrt(2n) different
/// numbers, so this is small for any volume.
using SizeCounts = std::map<std::int64_t, std::int64_t>;

double sum_of_logs(const SizeCounts& sizes) {
  double sum = 0;
  for (const auto& [voxels, objects] : sizes) {
    sum +=
        static_cast<double>(objects) * static_cast<double>(voxels) * std::log2(static_cast<double>(voxels));
  }
  return sum;
}

double sum_of_pairs(const SizeCounts& sizes) {
  double sum = 0;
  for (const auto& [voxels, objects] : sizes) {
    sum += static_cast<double>(objects) * (static_cast<double>(voxels) * static_cast<double>(voxels - 1) / 2);
  }
  return sum;
}

/// Collective. Broadcasts every rank's records in parts, in rank order. Each rank keeps those that it owns.
template <class Record, class Keep>
std::vector<Record> pass_around(const Communicator& world, std::vector<Record> mine, Keep&& keep) {
  if (world.size() == 1) return mine;
  constexpr std::size_t kPart = 1 << 16;
  std::vector<Record> kept, part;
  for (int rank = 0; rank < world.size(); ++rank) {
    std::uint64_t count = mine.size();
    world.broadcast(std::as_writable_bytes(std::span(&count, 1)), rank);
    for (std::size_t at = 0; at < count; at += kPart) {
      part.resize(std::min(kPart, count - at));
      if (rank == world.rank())
        std::copy_n(mine.begin() + static_cast<std::ptrdiff_t>(at), part.size(), part.begin());
      world.broadcast(std::as_writable_bytes(std::span(part)), rank);
      std::copy_if(part.begin(), part.end(), std::back_inserter(kept), keep);
    }
    if (rank == world.rank()) std::vector<Record>().swap(mine);
  }
  return kept;
}

struct SizeCount {
  std::int64_t kind, voxels, objects;
};

/// Collective: the counts of all ranks together.
void add_up(const Communicator& world, std::array<SizeCounts, 3>& sizes) {
  std::vector<SizeCount> mine;
  for (std::size_t kind = 0; kind < sizes.size(); ++kind) {
    for (const auto& [voxels, objects] : sizes[kind])
      mine.push_back({static_cast<std::int64_t>(kind), voxels, objects});
  }
  const std::vector<SizeCount> all =
      pass_around(world, std::move(mine), [](const SizeCount&) { return true; });
  sizes = {};
  for (const SizeCount& one : all)
    sizes[static_cast<std::size_t>(one.kind)][one.voxels] += one.objects;
}

/// Indices of integers that add up over ranks.
enum WholeSum : std::size_t { kVoxels, kTruthObjects, kPredictedObjects, kJaccard, kMatched };
using WholeSums = std::array<std::int64_t, kMatched + kOverlapLevels>;

/// A true object and the only predicted one that can match it.
struct Candidate {
  std::uint64_t predicted = 0;
  std::int64_t shared = 0, truth = 0;
};

/// A predicted label: its voxels, and those where the truth is not 0, by true object.
struct PredictedLabel {
  std::int64_t voxels = 0;
  ObjectParts in_truth;
  std::uint64_t label() const { return in_truth.label; }
};

/// Adds the voxels that another object shares.
void add_part(ObjectParts& object, std::uint64_t other, std::int64_t voxels) {
  ++object.parts;
  if (voxels > object.shared || (voxels == object.shared && other < object.largest)) {
    object.largest = other;
    object.shared = voxels;
  }
}

/// Adds parts of the same object, none of which is in both.
void add_parts(ObjectParts& object, const ObjectParts& more) {
  if (more.parts == 0) return;
  const std::int64_t parts = object.parts + more.parts;
  add_part(object, more.largest, more.shared);
  object.parts = parts;
  object.voxels += more.voxels;
}

/// Keeps the worst objects. Sorts.
void keep_worst(std::vector<ObjectParts>& objects) {
  const auto outside = [](const ObjectParts& one) { return one.voxels - one.shared; };
  std::erase_if(objects, [&](const ObjectParts& one) { return outside(one) == 0; });
  std::sort(objects.begin(), objects.end(), [&](const ObjectParts& a, const ObjectParts& b) {
    return outside(a) != outside(b) ? outside(a) > outside(b) : a.label < b.label;
  });
  objects.resize(std::min(objects.size(), kMostWorstObjects));
}

/// Merges records with the same label. Sorts.
void merge_equal(std::vector<PredictedLabel>& labels) {
  std::sort(labels.begin(), labels.end(), [](const auto& a, const auto& b) { return a.label() < b.label(); });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (kept > 0 && labels[kept - 1].label() == labels[i].label()) {
      labels[kept - 1].voxels += labels[i].voxels;
      add_parts(labels[kept - 1].in_truth, labels[i].in_truth);
    } else {
      labels[kept++] = labels[i];
    }
  }
  labels.resize(kept);
}

/// The same for pairs, sorted by the true label.
void merge_equal(std::vector<LabelOverlap>& pairs) {
  const auto key = [](const LabelOverlap& pair) { return std::pair(pair.truth, pair.predicted); };
  std::sort(pairs.begin(), pairs.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (kept > 0 && key(pairs[kept - 1]) == key(pairs[i]))
      pairs[kept - 1].voxels += pairs[i].voxels;
    else
      pairs[kept++] = pairs[i];
  }
  pairs.resize(kept);
}

}  // namespace

LabelSums& LabelSums::operator+=(const LabelSums& other) {
  voxels += other.voxels;
  truth_log += other.truth_log;
  predicted_log += other.predicted_log;
  both_log += other.both_log;
  truth_pairs += other.truth_pairs;
  predicted_pairs += other.predicted_pairs;
  both_pairs += other.both_pairs;
  objects += other.objects;
  return *this;
}

LabelScores scores_of(const LabelSums& s) {
  LabelScores scores;
  if (s.voxels > 0) {
    scores.voi_split = std::max(0.0, (s.truth_log - s.both_log) / s.voxels);
    scores.voi_merge = std::max(0.0, (s.predicted_log - s.both_log) / s.voxels);
  }
  scores.voi = scores.voi_split + scores.voi_merge;
  scores.rand_precision = ratio(s.both_pairs, s.predicted_pairs);
  scores.rand_recall = ratio(s.both_pairs, s.truth_pairs);
  scores.adapted_rand_error = 1 - ratio(2 * s.both_pairs, s.truth_pairs + s.predicted_pairs);
  scores.objects = scores_of(s.objects);
  return scores;
}

namespace {

LabelSums sums_of(const WholeSums& whole, const std::array<SizeCounts, 3>& sizes) {
  LabelSums sums;
  sums.voxels = static_cast<double>(whole[kVoxels]);
  sums.truth_log = sum_of_logs(sizes[0]);
  sums.predicted_log = sum_of_logs(sizes[1]);
  sums.both_log = sum_of_logs(sizes[2]);
  sums.truth_pairs = sum_of_pairs(sizes[0]);
  sums.predicted_pairs = sum_of_pairs(sizes[1]);
  sums.both_pairs = sum_of_pairs(sizes[2]);
  sums.objects.truth = static_cast<double>(whole[kTruthObjects]);
  sums.objects.predicted = static_cast<double>(whole[kPredictedObjects]);
  sums.objects.jaccard = static_cast<double>(whole[kJaccard]) / kJaccardUnits;
  for (std::size_t i = 0; i < kOverlapLevels; ++i)
    sums.objects.matched[i] = static_cast<double>(whole[kMatched + i]);
  return sums;
}

/// The worst objects of both volumes among those that a rank owns.
WorstObjects worst_of(std::vector<ObjectParts> split, const std::vector<PredictedLabel>& predicted) {
  WorstObjects worst{std::move(split), {}};
  keep_worst(worst.split);
  for (const PredictedLabel& one : predicted) {
    if (one.label() != 0 && one.in_truth.parts > 1) worst.merged.push_back(one.in_truth);
    if (worst.merged.size() > 4096) keep_worst(worst.merged);
  }
  keep_worst(worst.merged);
  return worst;
}

/// Collective: the worst objects of all ranks.
void share_worst(const Communicator& world, WorstObjects& worst) {
  for (std::vector<ObjectParts>* objects : {&worst.split, &worst.merged}) {
    *objects = pass_around(world, std::move(*objects), [](const ObjectParts&) { return true; });
    keep_worst(*objects);
  }
}

}  // namespace

LabelSums label_sums(LabelTable mine, const Communicator& world, WorstObjects* worst) {
  const auto ranks = static_cast<std::uint64_t>(world.size()),
             rank = static_cast<std::uint64_t>(world.rank());
  const auto is_mine = [&](std::uint64_t label) { return label_hash(label) % ranks == rank; };
  std::array<SizeCounts, 3> sizes;  // of true objects, predicted ones, pairs
  WholeSums whole{};
  // One rank gets all pairs of a true label.
  std::vector<LabelOverlap> pairs = pass_around(
      world, std::move(mine).take_overlaps(), [&](const LabelOverlap& pair) { return is_mine(pair.truth); });
  merge_equal(pairs);
  std::vector<PredictedLabel> predicted;
  std::vector<Candidate> candidates;
  std::vector<ObjectParts> split;
  for (auto begin = pairs.begin(); begin != pairs.end();) {
    const auto end = std::find_if(begin, pairs.end(),
                                  [&](const LabelOverlap& pair) { return pair.truth != begin->truth; });
    std::int64_t truth = 0;
    for (auto pair = begin; pair != end; ++pair)
      truth += pair->voxels;
    const bool counts = begin->truth != 0;
    if (counts) {
      ++sizes[0][truth];
      whole[kVoxels] += truth;
      ++whole[kTruthObjects];
    }
    ObjectParts object{begin->truth, truth, 0, 0, 0};
    for (auto pair = begin; pair != end; ++pair) {
      predicted.push_back({pair->voxels, {pair->predicted, 0, 0, 0, 0}});
      if (!counts) continue;
      predicted.back().in_truth = {pair->predicted, pair->voxels, 1, pair->truth, pair->voxels};
      if (pair->predicted != 0) add_part(object, pair->predicted, pair->voxels);
      ++sizes[2][pair->voxels];
      if (pair->predicted != 0 && covers_majority(pair->voxels, truth)) {
        candidates.push_back({pair->predicted, pair->voxels, truth});
      }
    }
    if (counts && worst != nullptr) split.push_back(object);
    if (split.size() > 4096) keep_worst(split);
    begin = end;
  }
  std::vector<LabelOverlap>().swap(pairs);
  // One rank gets all records of a predicted label.
  merge_equal(predicted);
  predicted = pass_around(world, std::move(predicted),
                          [&](const PredictedLabel& one) { return is_mine(one.label()); });
  merge_equal(predicted);
  for (const PredictedLabel& one : predicted) {
    if (one.in_truth.voxels > 0) ++sizes[1][one.in_truth.voxels];
    if (one.label() != 0) ++whole[kPredictedObjects];
  }
  candidates =
      pass_around(world, std::move(candidates), [&](const Candidate& one) { return is_mine(one.predicted); });
  for (const Candidate& one : candidates) {
    const auto found =
        std::lower_bound(predicted.begin(), predicted.end(), one.predicted,
                         [](const PredictedLabel& a, std::uint64_t label) { return a.label() < label; });
    whole[kJaccard] += std::llround(jaccard(one.shared, one.truth, found->voxels) * kJaccardUnits);
    const int levels = levels_reached(one.shared, one.truth, found->voxels);
    for (int level = 0; level < levels; ++level)
      ++whole[kMatched + static_cast<std::size_t>(level)];
  }
  world.sum(std::span<std::int64_t>(whole));
  add_up(world, sizes);
  if (worst != nullptr) {
    *worst = worst_of(std::move(split), predicted);
    share_worst(world, *worst);
  }
  return sums_of(whole, sizes);
}

}  // namespace tessera
