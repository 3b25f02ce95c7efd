#pragma once

#include <cstdint>

namespace tessera {

/// The sections [begin, end) of a volume.
struct SectionRange {
  std::int64_t begin = 0, end = 0;
};

}  // namespace tessera
