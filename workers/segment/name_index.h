#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "workers/numbers/bit_mix.h"

namespace tessera {

/// Finds the place of a name in an array of distinct names.
class NameIndex {
 public:
  NameIndex() = default;
  explicit NameIndex(std::span<const std::uint64_t> names) : names_(names.begin(), names.end()) {
    std::size_t slots = 16;
    while (slots < 2 * names.size())
      slots *= 2;
    slots_.assign(slots, 0);
    for (std::size_t i = 0; i < names_.size(); ++i) {
      std::size_t slot = mix_bits(names_[i]) & (slots - 1);
      while (slots_[slot] != 0)
        slot = (slot + 1) & (slots - 1);
      slots_[slot] = i + 1;
    }
  }

  static constexpr std::size_t kMissing = ~std::size_t{0};
  /// The place of `name`; kMissing where the array lacks it.
  std::size_t find(std::uint64_t name) const {
    if (slots_.empty()) return kMissing;
    std::size_t slot = mix_bits(name) & (slots_.size() - 1);
    while (slots_[slot] != 0) {
      if (names_[slots_[slot] - 1] == name) return slots_[slot] - 1;
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return kMissing;
  }

 private:
  std::vector<std::uint64_t> names_;
  std::vector<std::size_t> slots_;
};

}  // namespace tessera
