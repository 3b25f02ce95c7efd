#include "texture_volume.h"

#include <array>
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "io/base/error.h"
#include "io/hdf5/packed_volume.h"
#include "io/hdf5/volume_file.h"

namespace tessera::benchmarks {
namespace {

/// Random grey values at every 16th pixel, linear in between, and noise. As EM data, gzip compresses them
/// little.
std::vector<std::byte> texture(std::int64_t height, std::int64_t width, unsigned seed) {
  constexpr std::int64_t kSpacing = 16;
  std::mt19937 random(seed);
  const std::int64_t columns = width / kSpacing + 2;
  std::vector<double> nodes(static_cast<std::size_t>((height / kSpacing + 2) * columns));
  for (double& node : nodes)
    node = 40 + static_cast<double>(random() % 160);
  std::vector<std::byte> voxels;
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const double* node = nodes.data() + y / kSpacing * columns + x / kSpacing;
      const double down = static_cast<double>(y % kSpacing) / kSpacing,
                   right = static_cast<double>(x % kSpacing) / kSpacing;
      const double above = std::lerp(node[0], node[1], right),
                   below = std::lerp(node[columns], node[columns + 1], right);
      voxels.push_back(
          static_cast<std::byte>(std::lerp(above, below, down) + static_cast<double>(random() % 16)));
    }
  }
  return voxels;
}

}  // namespace

void write_texture_volume(const std::filesystem::path& file, const Index3& shape, int gzip) {
  VolumeSpec spec;
  spec.shape = shape;
  spec.chunk = {1, std::min<std::int64_t>(512, shape.y), std::min<std::int64_t>(512, shape.x)};
  spec.gzip = gzip;
  if (shape.y % spec.chunk.y != 0 || shape.x % spec.chunk.x != 0)
    throw UsageError("sides are multiples of 512, or less");
  {
    VolumeFile volume(file, false);
    volume.add(spec, false);
    volume.commit();
  }
  std::array<PackedChunk, 16> chunks;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    chunks[i].bytes = texture(spec.chunk.y, spec.chunk.x, static_cast<unsigned>(i));
    if (gzip > 0) chunks[i] = pack_chunk(0, std::vector(chunks[i].bytes), 1, gzip);
  }
  const std::string what = "cannot write " + file.string();
  Hdf5Handle opened(check_hdf5(H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), what), H5Fclose);
  Hdf5Handle dataset(check_hdf5(H5Dopen2(opened.get(), spec.path.c_str(), H5P_DEFAULT), what), H5Dclose);
  std::size_t written = 0;
  for (std::int64_t z = 0; z < shape.z;
       ++z, written += 5) {  // another chunk at the same place of the next section
    for (std::int64_t y = 0; y < shape.y; y += spec.chunk.y) {
      for (std::int64_t x = 0; x < shape.x; x += spec.chunk.x) {
        const PackedChunk& chunk = chunks[written++ % chunks.size()];
        const std::array at{static_cast<hsize_t>(z), static_cast<hsize_t>(y), static_cast<hsize_t>(x)};
        const std::uint32_t left_out = chunk.filter_mask != 0 ? 3 : 0;  // of shuffle and deflate
        check_hdf5(H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, left_out, at.data(), chunk.bytes.size(),
                                  chunk.bytes.data()),
                   what);
      }
    }
  }
  if (!dataset.close() || !opened.close()) throw Error(what + ": " + take_hdf5_error());
}

}  // namespace tessera::benchmarks
