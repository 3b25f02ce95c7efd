#include "pipeline/inputs/stack_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "io/base/clock.h"
#include "io/base/durable_file.h"
#include "io/base/log.h"
#include "io/images/image_stack.h"

namespace tessera {

std::string import_stack(const StackImport& options, const FileLock& /*lock*/) {
  const double begin_s = seconds_now();
  ImageStackReader stack(options.stack, options.images);
  if (stack.ignored_files() > 0) {
    spdlog::warn("{}: {} file{} passed over, hidden or neither PNG nor TIFF by name", options.stack.string(),
                 stack.ignored_files(), stack.ignored_files() == 1 ? "" : "s");
  }
  if (!stack.note().empty()) spdlog::warn("{}: {}", options.stack.string(), stack.note());
  VolumeSpec spec = options.spec;
  spec.path = options.output.path;
  spec.type = stack.type();
  spec.shape = stack.shape();
  const Index3 wanted = options.chunk.value_or(default_chunk(spec.shape));
  for (int axis = 0; axis < 3; ++axis)
    spec.chunk[axis] = std::min(wanted[axis], spec.shape[axis]);
  spec.attributes["source"] = std::filesystem::absolute(options.stack).lexically_normal().string();
  VolumeFile file(options.output.file, true);
  if (spec.gzip == 0) require_free_space(options.output.file, volume_of(spec.shape) * size_of(spec.type));
  file.add(spec, options.overwrite);
  for (std::int64_t z = 0; z < spec.shape.z; z += spec.chunk.z) {
    VoxelBuffer slab(spec.type, {std::min(spec.chunk.z, spec.shape.z - z), spec.shape.y, spec.shape.x});
    std::byte* target = slab.bytes.data();
    for (std::int64_t i = 0; i < slab.shape.z; ++i) {
      const VoxelBuffer section = stack.read_section(z + i);
      std::memcpy(target, section.bytes.data(), section.bytes.size());
      target += section.bytes.size();
    }
    file.write_sections(spec.path, z, slab);
  }
  file.commit();
  return fmt::format("{}: {} {}, chunk {}, file {}, {:.1f} s", options.output.text(), to_string(spec.shape),
                     name_of(spec.type), to_string(spec.chunk),
                     bytes_text(static_cast<std::int64_t>(std::filesystem::file_size(options.output.file))),
                     seconds_now() - begin_s);
}

}  // namespace tessera
