#include "io/volume/output_layout.h"

namespace tessera {

Index3 OutputLayout::grid() const {
  return {ceil_div(shape.z, chunk.z), ceil_div(shape.y, chunk.y), ceil_div(shape.x, chunk.x)};
}

std::int64_t OutputLayout::chunk_offset(const Index3& at, std::int64_t channel) const {
  const Index3 count = grid();
  return base + (((channel * count.z + at.z) * count.y + at.y) * count.x + at.x) * chunk_bytes();
}

}  // namespace tessera
