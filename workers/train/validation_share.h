#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

/// The rows of a section that are to be predicted.
struct SectionRows {
  std::int64_t begin = 0, end = 0, width = 0;
};

/// Some of a section's rows, for one worker.
struct SectionBand {
  std::size_t section = 0;
  std::int64_t begin = 0, end = 0;
  int worker = 0;
};

/// Shares the pixels of sections out over workers, about evenly: laid end to end, in order, each worker gets
/// one stretch. Sections are cut only where that evens the shares noticeably, and only between rows that are
/// multiples of `alignment`, the network's grid. The bands of a section follow each other, and so do their
/// workers; the first one's worker is the section's owner.
std::vector<SectionBand> share_rows(const std::vector<SectionRows>& sections, std::int64_t alignment,
                                    int workers);

}  // namespace tessera
