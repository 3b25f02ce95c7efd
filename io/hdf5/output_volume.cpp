#include "io/hdf5/output_volume.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "io/base/crc32c.h"
#include "io/base/error.h"
#include "io/base/staged_file.h"
#include "io/base/utf8_text.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_links.h"
#include "io/hdf5/hdf5_types.h"
#include "io/hdf5/volume_reader.h"

namespace tessera {
namespace {

/// HDF5 uses the implicit chunk index (chunks back to back) only with all of these: V110 bounds, fixed
/// dimensions, no filter, early allocation, no fill.
Hdf5Handle implicit_index_creation_list(const Index3& chunk, int rank) {
  Hdf5Handle list(check_hdf5(H5Pcreate(H5P_DATASET_CREATE), "cannot create the result"), H5Pclose);
  const std::array<hsize_t, 4> sides{1, static_cast<hsize_t>(chunk.z), static_cast<hsize_t>(chunk.y),
                                     static_cast<hsize_t>(chunk.x)};
  check_hdf5(H5Pset_chunk(list.get(), rank, sides.data() + (4 - rank)),
             "cannot set the chunk shape of the result");
  check_hdf5(H5Pset_alloc_time(list.get(), H5D_ALLOC_TIME_EARLY), "cannot ask for early allocation");
  check_hdf5(H5Pset_fill_time(list.get(), H5D_FILL_TIME_NEVER), "cannot switch off filling");
  return list;
}

std::int64_t chunk_address(hid_t dataset, std::int64_t channel, const Index3& position,
                           const OutputLayout& layout, const std::string& name) {
  const Index3& chunk = layout.chunk;
  const std::array<hsize_t, 4> at{static_cast<hsize_t>(channel), static_cast<hsize_t>(position.z * chunk.z),
                                  static_cast<hsize_t>(position.y * chunk.y),
                                  static_cast<hsize_t>(position.x * chunk.x)};
  unsigned mask = 0;
  haddr_t address = HADDR_UNDEF;
  hsize_t size = 0;
  check_hdf5(
      H5Dget_chunk_info_by_coord(dataset, at.data() + (layout.channels > 1 ? 0 : 1), &mask, &address, &size),
      "cannot find a chunk of " + name);
  if (address == HADDR_UNDEF)
    throw Error(name + " has a chunk that is not allocated: not made by 'tessera infer'");
  return static_cast<std::int64_t>(address);
}

/// The offset of a text in the metadata of a result, before the first chunk or behind the last one.
std::optional<std::int64_t> find_in_metadata(const std::filesystem::path& file, const std::string& text,
                                             const OutputLayout& layout) {
  constexpr std::int64_t kMostMetadata = std::int64_t{64} << 20;
  const FileDescriptor opened(file, O_RDONLY);
  const std::int64_t end = layout.base + layout.channels * volume_of(layout.grid()) * layout.chunk_bytes();
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(file));
  for (const auto& [begin, bytes] : {std::pair(std::int64_t{0}, layout.base), std::pair(end, size - end)}) {
    if (bytes <= 0) continue;
    std::string metadata(static_cast<std::size_t>(std::min(bytes, kMostMetadata)), '\0');
    const ssize_t got = ::pread(opened.get(), metadata.data(), metadata.size(), begin);
    if (got < 0) throw Error(fmt::format("cannot read {}: {}", file.string(), errno_text(errno)));
    const std::size_t at = metadata.find(text);
    if (at != std::string::npos) return begin + static_cast<std::int64_t>(at);
  }
  return std::nullopt;
}

/// Sets the mark of the layout: the result's attribute `instance`.
void find_mark(const std::filesystem::path& file, const std::string& instance, OutputLayout& layout) {
  if (instance.empty()) return;
  if (const auto at = find_in_metadata(file, instance, layout)) {
    layout.mark = instance;
    layout.mark_at = *at;
  }
}

/// Opens the file of a result. Where the file of this name has another mark, it may be one that the file
/// system of this node still shows after it was replaced: it is opened again for some seconds. Errors: Error.
FileDescriptor open_marked(const std::filesystem::path& file, const OutputLayout& layout) {
  constexpr int kTries = 20;
  for (int tries = 0;; ++tries) {
    FileDescriptor opened(file, O_RDWR);
    std::string found(layout.mark.size(), '\0');
    const ssize_t size = ::pread(opened.get(), found.data(), found.size(), layout.mark_at);
    if (size < 0) throw Error(fmt::format("cannot read {}: {}", file.string(), errno_text(errno)));
    if (size == std::ssize(found) && found == layout.mark) return opened;
    if (tries == kTries) {
      throw Error(fmt::format(
          "{} is not the file that this run created or continues, as seen from this node: another program "
          "has "
          "replaced it, or the file system shows an old one. Start again when no other program writes it",
          file.string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

/// Reads the base from the first chunk, and checks the offset of the last one.
OutputLayout layout_of(hid_t dataset, const OutputLayout& shape_of_it, const std::string& name) {
  OutputLayout layout = shape_of_it;
  layout.base = chunk_address(dataset, 0, {0, 0, 0}, layout, name);
  const Index3 last = layout.grid() - Index3{1, 1, 1};
  if (chunk_address(dataset, layout.channels - 1, last, layout, name) !=
      layout.chunk_offset(last, layout.channels - 1)) {
    throw Error(name + ": its chunks are not stored back to back: not made by 'tessera infer'");
  }
  return layout;
}

/// `target`: the result's file, without links.
void link_raw(hid_t file, const OutputVolumeSpec& spec, const std::filesystem::path& target) {
  if (!spec.raw) return;
  const auto absolute = [](const std::filesystem::path& p) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(p));
  };
  const std::filesystem::path raw_file = absolute(spec.raw->file);
  if (raw_file == absolute(target) || hdf5_path_exists(file, "/volumes/raw")) return;
  const std::filesystem::path folder = absolute(target).parent_path();
  Hdf5Handle link_list(check_hdf5(H5Pcreate(H5P_LINK_CREATE), "cannot create links"), H5Pclose);
  check_hdf5(H5Pset_create_intermediate_group(link_list.get(), 1), "cannot create links");
  check_hdf5(H5Lcreate_external(raw_file.lexically_relative(folder).c_str(), spec.raw->path.c_str(), file,
                                "/volumes/raw", link_list.get(), H5P_DEFAULT),
             "cannot link the raw volume");
}

/// Everything of the file but the voxels. Returns `layout` with its base.
OutputLayout write_metadata(const StagedFile& staged, const OutputVolumeSpec& spec,
                            const OutputLayout& layout) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const std::string name = spec.name.text();
  Hdf5Handle access_list(check_hdf5(H5Pcreate(H5P_FILE_ACCESS), "cannot choose the format"), H5Pclose);
  check_hdf5(H5Pset_libver_bounds(access_list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110),
             "cannot choose the format");
  check_hdf5(H5Pset_alignment(access_list.get(), 64 << 10, 1 << 20), "cannot align the chunks");
  Hdf5Handle file(check_hdf5(H5Fcreate(staged.path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access_list.get()),
                             "cannot create " + staged.path().string()),
                  H5Fclose);
  const std::array<hsize_t, 4> dims{static_cast<hsize_t>(spec.channels), static_cast<hsize_t>(spec.shape.z),
                                    static_cast<hsize_t>(spec.shape.y), static_cast<hsize_t>(spec.shape.x)};
  const int rank = spec.channels > 1 ? 4 : 3;
  Hdf5Handle space(
      check_hdf5(H5Screate_simple(rank, dims.data() + (4 - rank), nullptr), "cannot shape " + name),
      H5Sclose);
  Hdf5Handle creation_list = implicit_index_creation_list(spec.chunk, rank);
  Hdf5Handle link_list(check_hdf5(H5Pcreate(H5P_LINK_CREATE), "cannot create links"), H5Pclose);
  check_hdf5(H5Pset_create_intermediate_group(link_list.get(), 1), "cannot create links");
  Hdf5Handle dataset(check_hdf5(H5Dcreate2(file.get(), spec.name.path.c_str(), hdf5_memory_type(spec.type),
                                           space.get(), link_list.get(), creation_list.get(), H5P_DEFAULT),
                                "cannot create " + name),
                     H5Dclose);
  if (!spec.resolution_nm.empty()) write_attribute(dataset.get(), "resolution", spec.resolution_nm);
  if (!spec.offset_nm.empty()) write_attribute(dataset.get(), "offset", spec.offset_nm);
  for (const auto& [key, value] : spec.attributes) {
    if (value.starts_with(kKnownLater)) {
      write_variable_text(dataset.get(), key, value);
    } else {
      write_attribute(dataset.get(), key, shown_as_utf8(value));
    }
  }
  link_raw(file.get(), spec, staged.target());
  OutputLayout made = layout_of(dataset.get(), layout, name);
  const bool closed = dataset.close() && file.close();
  if (!closed) throw Error(fmt::format("cannot finish {}: {}", name, take_hdf5_error()));
  return made;
}

}  // namespace

OutputLayout create_hdf5_output(const OutputVolumeSpec& spec) {
  OutputLayout layout{0, spec.type, spec.shape, spec.chunk, spec.channels};
  const std::int64_t payload = layout.channels * volume_of(layout.grid()) * layout.chunk_bytes();
  constexpr std::int64_t kMetadataRoom = std::int64_t{2} << 20;
  StagedFile staged(spec.name.file);
  require_free_space(staged.target(), payload + kMetadataRoom);
  layout = write_metadata(staged, spec, layout);
  const auto written = static_cast<std::int64_t>(std::filesystem::file_size(staged.path()));
  reserve_space(staged.path(), std::max(written, layout.base + payload));
  const auto instance = spec.attributes.find("instance");
  if (instance != spec.attributes.end()) find_mark(staged.path(), instance->second, layout);
  staged.commit();
  return layout;
}

void complete_attribute(const std::filesystem::path& file, const OutputLayout& layout,
                        const std::string& first, const std::string& text) {
  assert(text.size() <= first.size());
  const auto at = find_in_metadata(file, first, layout);
  if (!at) return;
  std::vector<std::byte> bytes(first.size());  // a text ends at its first zero
  std::memcpy(bytes.data(), text.data(), text.size());
  const FileDescriptor opened(file, O_RDWR);
  write_fully(opened.get(), bytes, *at, file);
  sync_data(opened.get(), file);
}

OutputLayout read_hdf5_output_layout(const DatasetName& name) {
  const VolumeInfo info = VolumeReader(name).info();
  if (!info.chunk || !info.filters.empty() || info.rank < 3 || info.chunk_channels != 1) {
    throw Error(name.text() + " was not made by 'tessera infer': it has filters or no chunks");
  }
  Hdf5Handle file = open_hdf5_file(name.file);
  Hdf5Handle dataset(
      check_hdf5(H5Dopen2(file.get(), name.path.c_str(), H5P_DEFAULT), "cannot open " + name.text()),
      H5Dclose);
  const Hdf5Handle type(check_hdf5(H5Dget_type(dataset.get()), "cannot open " + name.text()), H5Tclose);
  const std::size_t width = check_hdf5_size(H5Tget_size(type.get()), "cannot open " + name.text());
  const bool half = info.type == VoxelType::float32 && width == 2;
  const VoxelType voxels = half ? VoxelType::float16 : info.type;
  if (static_cast<std::int64_t>(width) != size_of(voxels))
    throw Error(name.text() + " was not made by 'tessera infer': it has another type");
  OutputLayout layout =
      layout_of(dataset.get(), {0, voxels, info.shape, *info.chunk, info.channels}, name.text());
  const auto instance = info.attributes.find("instance");
  if (instance != info.attributes.end()) find_mark(name.file, instance->second, layout);
  return layout;
}

BlockWriter::BlockWriter(const std::filesystem::path& file, const OutputLayout& layout)
    : path_(file),
      file_(open_marked(file, layout)),
      layout_(layout),
      chunk_(static_cast<std::size_t>(layout.chunk_bytes())) {}

std::uint32_t BlockWriter::write(const Box& block, const VoxelBuffer& voxels) {
  const Index3 chunk = layout_.chunk, shape = block.shape();
  const std::int64_t width = size_of(layout_.type);
  assert(voxels.type == layout_.type && voxels.channels == layout_.channels && voxels.shape == shape);
  const auto first = [&](int axis) { return block.begin[axis] / chunk[axis]; };
  const auto last = [&](int axis) { return ceil_div(block.end[axis], chunk[axis]); };
  for (int axis = 0; axis < 3; ++axis) {
    assert(block.begin[axis] % chunk[axis] == 0);
    assert(block.end[axis] % chunk[axis] == 0 || block.end[axis] == layout_.shape[axis]);
  }
  const std::int64_t channel_bytes = block.voxels() * width;
  for (std::int64_t c = 0; c < layout_.channels; ++c) {
    const std::byte* source = voxels.bytes.data() + c * channel_bytes;
    for (std::int64_t i = first(0); i < last(0); ++i) {
      for (std::int64_t j = first(1); j < last(1); ++j) {
        for (std::int64_t k = first(2); k < last(2); ++k) {
          const Index3 begin{i * chunk.z, j * chunk.y, k * chunk.x};
          const Box held = intersection(block, {begin, begin + chunk});
          gather_chunk(source, shape, held.relative_to(block.begin));
          write_fully(file_.get(), chunk_, layout_.chunk_offset({i, j, k}, c), path_);
        }
      }
    }
  }
  return crc32c(voxels.bytes);
}

void BlockWriter::gather_chunk(const std::byte* source, const Index3& source_shape, const Box& part) {
  const Index3 chunk = layout_.chunk, shape = part.shape();
  const std::int64_t width = size_of(layout_.type);
  if (shape != chunk) std::fill(chunk_.begin(), chunk_.end(), std::byte{0});
  for (std::int64_t z = 0; z < shape.z; ++z) {
    for (std::int64_t y = 0; y < shape.y; ++y) {
      const Index3 at = part.begin;
      const std::int64_t from = (((at.z + z) * source_shape.y + at.y + y) * source_shape.x + at.x) * width;
      const std::int64_t to = (z * chunk.y + y) * chunk.x * width;
      std::memcpy(chunk_.data() + to, source + from, static_cast<std::size_t>(shape.x * width));
    }
  }
}

void BlockWriter::sync() {
  sync_data(file_.get(), path_);
}

}  // namespace tessera
