#include "workers/metrics/label_table.h"

#include <utility>

#include "workers/numbers/bit_mix.h"

namespace tessera {
namespace {

constexpr std::size_t kFirstSlots = 1024;

}  // namespace

std::uint64_t label_hash(std::uint64_t label) {
  return mix_bits(label + 0x9E3779B97F4A7C15ULL);
}

LabelTable::LabelTable() : slots_(kFirstSlots) {}

LabelOverlap& LabelTable::slot_of(std::uint64_t truth, std::uint64_t predicted) {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = mix_bits(label_hash(truth) ^ predicted) & mask;; at = (at + 1) & mask) {
    LabelOverlap& slot = slots_[at];
    if (slot.voxels == 0 || (slot.truth == truth && slot.predicted == predicted)) return slot;
  }
}

void LabelTable::add(std::uint64_t truth, std::uint64_t predicted, std::int64_t voxels) {
  if (voxels == 0) return;
  LabelOverlap& slot = slot_of(truth, predicted);
  if (slot.voxels != 0) {
    slot.voxels += voxels;
    return;
  }
  slot = {truth, predicted, voxels};
  if (3 * ++size_ > 2 * slots_.size()) grow();
}

void LabelTable::grow() {
  std::vector<LabelOverlap> old = std::exchange(slots_, std::vector<LabelOverlap>(2 * slots_.size()));
  for (const LabelOverlap& one : old) {
    if (one.voxels != 0) slot_of(one.truth, one.predicted) = one;
  }
}

std::vector<LabelOverlap> LabelTable::overlaps() const {
  std::vector<LabelOverlap> all;
  all.reserve(size_);
  for (const LabelOverlap& one : slots_) {
    if (one.voxels != 0) all.push_back(one);
  }
  return all;
}

std::vector<LabelOverlap> LabelTable::take_overlaps() && {
  std::erase_if(slots_, [](const LabelOverlap& one) { return one.voxels == 0; });
  size_ = 0;
  return std::move(slots_);
}

}  // namespace tessera
