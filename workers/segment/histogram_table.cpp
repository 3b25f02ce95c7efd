#include "workers/segment/histogram_table.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "workers/numbers/bit_mix.h"

namespace tessera {
namespace {

constexpr std::size_t kFirstHistogramSlots = 1 << 10;

std::size_t slot_of_bin(std::uint64_t pair, std::uint32_t bin, std::size_t slots) {
  return mix_bits(mix_bits(pair) + bin) & (slots - 1);
}

}  // namespace

HistogramTable::HistogramTable() : slots_(kFirstHistogramSlots) {}

BundleBin& HistogramTable::entry_of(std::uint64_t pair, std::uint32_t bin) {
  std::size_t slot = slot_of_bin(pair, bin, slots_.size());
  while (slots_[slot].count != 0 && (slots_[slot].pair != pair || slots_[slot].bin != bin))
    slot = (slot + 1) & (slots_.size() - 1);
  if (slots_[slot].count != 0) return slots_[slot];
  if (2 * ++used_ > slots_.size()) {
    grow();
    slot = slot_of_bin(pair, bin, slots_.size());
    while (slots_[slot].count != 0)
      slot = (slot + 1) & (slots_.size() - 1);
  }
  slots_[slot] = {pair, bin, 0};
  return slots_[slot];
}

void HistogramTable::grow() {
  std::vector<BundleBin> larger(2 * slots_.size());
  for (const BundleBin& one : slots_) {
    if (one.count == 0) continue;
    std::size_t slot = slot_of_bin(one.pair, one.bin, larger.size());
    while (larger[slot].count != 0)
      slot = (slot + 1) & (larger.size() - 1);
    larger[slot] = one;
  }
  slots_ = std::move(larger);
}

std::vector<BundleBin> HistogramTable::take() {
  std::vector<BundleBin> bins = std::exchange(slots_, std::vector<BundleBin>(kFirstHistogramSlots));
  used_ = 0;
  std::erase_if(bins, [](const BundleBin& one) { return one.count == 0; });
  std::sort(bins.begin(), bins.end(), [](const BundleBin& x, const BundleBin& y) {
    return std::tie(x.pair, x.bin) < std::tie(y.pair, y.bin);
  });
  return bins;
}

}  // namespace tessera
