#pragma once

#include <filesystem>

#include "io/geometry/box.h"

namespace tessera::benchmarks {

/// Writes `file`:/volumes/raw, uint8, chunks of a section and up to 512 x 512 pixels, whose sides must divide
/// the shape's: spots of about 16 pixels and noise. It repeats a few chunks, so that only the disk limits
/// the speed. `gzip`: 0 for none, or 1 to 9. Errors: Error.
void write_texture_volume(const std::filesystem::path& file, const Index3& shape, int gzip);

}  // namespace tessera::benchmarks
