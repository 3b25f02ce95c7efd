#include "io/volume/volume.h"

namespace tessera {

std::int64_t VolumeInfo::chunks_stored() const {
  if (!chunk) return 0;
  std::int64_t count = ceil_div(channels, chunk_channels);
  for (int axis = 0; axis < 3; ++axis)
    count *= ceil_div(shape[axis], (*chunk)[axis]);
  return count;
}

}  // namespace tessera
