#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

/// The rows of a section that are to be predicted.
struct SectionRows {
  std::int64_t begin = 0, end = 0, width = 0;
};

/// Consecutive rows of a section, for one worker.
struct SectionBand {
  std::size_t section = 0;
  std::int64_t begin = 0, end = 0;
  int worker = 0;
};

/// Distributes the pixels of sections over workers, about evenly: each worker gets one contiguous range of
/// the sections in order. A section is cut only where that balances the shares noticeably, and only at rows
/// that are multiples of `alignment`, the network's grid. The bands of a section are in order, and so are
/// their workers. The worker of the first band owns the section.
std::vector<SectionBand> share_rows(const std::vector<SectionRows>& sections, std::int64_t alignment,
                                    int workers);

}  // namespace tessera
