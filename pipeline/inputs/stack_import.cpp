#include "pipeline/inputs/stack_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "io/base/clock.h"
#include "io/base/durable_file.h"
#include "io/base/log.h"

namespace tessera {

std::string import_stack(const StackImport& options, const FileLock& /*lock*/) {
  const double begin_s = seconds_now();
  ImportSource source(options.source, options.reading);
  for (const std::string& note : source.notes())
    spdlog::warn("{}: {}", options.source, note);
  VolumeSpec spec = options.spec;
  spec.path = options.output.path;
  spec.type = source.type();
  spec.shape = source.shape();
  if (spec.resolution_nm.empty()) spec.resolution_nm = source.resolution_nm();
  if (spec.offset_nm.empty()) spec.offset_nm = source.offset_nm();
  const Index3 wanted = options.chunk.value_or(default_chunk(spec.shape));
  for (int axis = 0; axis < 3; ++axis)
    spec.chunk[axis] = std::min(wanted[axis], spec.shape[axis]);
  spec.attributes["source"] = std::filesystem::absolute(options.source).lexically_normal().string();
  VolumeFile file(options.output.file, true);
  if (spec.gzip == 0) require_free_space(options.output.file, volume_of(spec.shape) * size_of(spec.type));
  file.add(spec, options.overwrite);
  const std::int64_t at_once = spec.chunk.z * source.good_sections(spec.chunk.z);
  for (std::int64_t z = 0; z < spec.shape.z; z += at_once)
    file.write_sections(spec.path, z, source.read_sections(z, std::min(at_once, spec.shape.z - z)));
  file.commit();
  return fmt::format("{}: {} {}, chunk {}, file {}, {:.1f} s", options.output.text(), to_string(spec.shape),
                     name_of(spec.type), to_string(spec.chunk),
                     bytes_text(static_cast<std::int64_t>(std::filesystem::file_size(options.output.file))),
                     seconds_now() - begin_s);
}

}  // namespace tessera
