#include "workers/segment/bundle_table.h"

#include <algorithm>
#include <utility>

#include "io/base/error.h"
#include "workers/numbers/bit_mix.h"

namespace tessera {
namespace {

constexpr std::size_t kFirstSlots = 1 << 10;

}  // namespace

BundleTable::BundleTable() : slots_(kFirstSlots) {}

BlockBundle& BundleTable::row_of(std::uint64_t pair) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = mix_bits(pair) & mask;
  while (slots_[slot] != 0 && rows_[slots_[slot] - 1].pair != pair)
    slot = (slot + 1) & mask;
  if (slots_[slot] == 0) {
    if (rows_.size() >= 0xfffffffeu) throw Error("a block has 2^32 bundles: set a smaller segment.block");
    rows_.push_back({.pair = pair, .edge = ~std::uint64_t{0}, .saddle = -1});
    slots_[slot] = static_cast<std::uint32_t>(rows_.size());
    last_ = rows_.size() - 1;
    if (2 * rows_.size() > slots_.size()) grow();
  } else {
    last_ = slots_[slot] - 1;
  }
  last_pair_ = pair;
  return rows_[last_];
}

void BundleTable::grow() {
  slots_.assign(2 * slots_.size(), 0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    std::size_t slot = mix_bits(rows_[row].pair) & mask;
    while (slots_[slot] != 0)
      slot = (slot + 1) & mask;
    slots_[slot] = static_cast<std::uint32_t>(row + 1);
  }
}

std::vector<BlockBundle> BundleTable::take() {
  std::vector<BlockBundle> rows = std::exchange(rows_, {});
  slots_.assign(kFirstSlots, 0);
  last_pair_ = ~std::uint64_t{0};
  std::sort(rows.begin(), rows.end(),
            [](const BlockBundle& x, const BlockBundle& y) { return x.pair < y.pair; });
  return rows;
}

}  // namespace tessera
