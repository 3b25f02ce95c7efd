#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/hdf5/volume_file.h"

namespace tessera::testing {

/// Writes a volume /volumes/<name> into a file (which may hold others) from a function of (z, y, x).
inline DatasetName write_volume(const std::filesystem::path& file, const std::string& name, VoxelType type,
                                const Index3& shape, const std::function<double(const Index3&)>& value_at,
                                const std::vector<double>& offset = {}) {
  VoxelBuffer buffer(type, shape);
  with_voxel_type(type, [&](auto zero) {
    auto values = buffer.as<decltype(zero)>();
    std::size_t i = 0;
    for (std::int64_t z = 0; z < shape.z; ++z) {
      for (std::int64_t y = 0; y < shape.y; ++y) {
        for (std::int64_t x = 0; x < shape.x; ++x)
          values[i++] = static_cast<decltype(zero)>(value_at({z, y, x}));
      }
    }
  });
  VolumeSpec spec;
  spec.path = "/volumes/" + name;
  spec.type = type;
  spec.shape = shape;
  spec.chunk = default_chunk(shape);
  spec.offset_nm = offset;
  VolumeFile volume(file, true);
  volume.add(spec, true);
  volume.write_sections(spec.path, 0, buffer);
  volume.commit();
  return {file, spec.path};
}

}  // namespace tessera::testing
