#include "io/volume/volume.h"

#include <fmt/format.h>

namespace tessera {

std::int64_t VolumeInfo::chunks_stored() const {
  if (!chunk) return 0;
  std::int64_t count = ceil_div(channels, chunk_channels);
  for (int axis = 0; axis < 3; ++axis)
    count *= ceil_div(shape[axis], (*chunk)[axis]);
  return count;
}

std::string wrong_raw_type_text(const VolumeInfo& raw) {
  return fmt::format(
      "{} holds {}: raw volumes are uint8, uint16 or floating point. Convert it: tessera import {} "
      "NEW.h5:/volumes/raw --dtype uint16 (or uint8, float32)",
      raw.name.text(), raw.type_text(), raw.name.text());
}

}  // namespace tessera
