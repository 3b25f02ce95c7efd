#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tessera {

/// How many voxels a true and a predicted label share.
struct LabelOverlap {
  std::uint64_t truth = 0, predicted = 0;
  std::int64_t voxels = 0;
  friend bool operator==(const LabelOverlap&, const LabelOverlap&) = default;
};

/// The sparse contingency table of two label volumes: the pairs of labels that share voxels, of any 64-bit
/// ids. Open addressing in one array: 24 bytes a slot, at most 2/3 full, doubled when fuller.
class LabelTable {
 public:
  LabelTable();

  void add(std::uint64_t truth, std::uint64_t predicted, std::int64_t voxels);
  /// Adds voxels in pairs, without those whose true label is `ignored`; fast where neighbours are equal. T,
  /// U: unsigned integers.
  template <class T, class U>
  void add_voxels(std::span<const T> truth, std::span<const U> predicted,
                  const std::optional<std::uint64_t>& ignored = {}) {
    for (std::size_t begin = 0; begin < truth.size();) {
      std::size_t end = begin + 1;
      while (end < truth.size() && truth[end] == truth[begin] && predicted[end] == predicted[begin])
        ++end;
      if (truth[begin] != ignored)
        add(truth[begin], predicted[begin], static_cast<std::int64_t>(end - begin));
      begin = end;
    }
  }

  std::size_t size() const { return size_; }
  /// The table's memory in bytes.
  std::size_t bytes() const { return slots_.capacity() * sizeof(LabelOverlap); }
  /// Every pair once, in no particular order.
  std::vector<LabelOverlap> overlaps() const;
  /// The same, and empties the table slot by slot, without a second copy.
  std::vector<LabelOverlap> take_overlaps() &&;

 private:
  LabelOverlap& slot_of(std::uint64_t truth, std::uint64_t predicted);
  void grow();

  std::vector<LabelOverlap> slots_;  ///< a power of two; voxels == 0: empty
  std::size_t size_ = 0;
};

/// A hash of a label, to choose a slot or the rank that owns the label.
std::uint64_t label_hash(std::uint64_t label);

}  // namespace tessera
