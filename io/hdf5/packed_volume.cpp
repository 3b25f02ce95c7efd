#include "io/hdf5/packed_volume.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "io/base/error.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_listing.h"

namespace tessera {
namespace {

/// HDF5's byte shuffle: the first byte of every voxel, then the second byte of every voxel, and so on.
std::vector<std::byte> shuffled(std::span<const std::byte> bytes, std::size_t width) {
  std::vector<std::byte> out(bytes.size());
  const std::size_t count = bytes.size() / width;
  for (std::size_t b = 0; b < width; ++b) {
    for (std::size_t i = 0; i < count; ++i)
      out[b * count + i] = bytes[i * width + b];
  }
  return out;
}

/// Copies every attribute of a fixed-length type.
void copy_attributes(hid_t from, hid_t to, const std::string& what) {
  for (const std::string& name : attribute_names(from)) {
    Hdf5Handle attribute(check_hdf5(H5Aopen(from, name.c_str(), H5P_DEFAULT), what), H5Aclose);
    Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose), space(H5Aget_space(attribute.get()), H5Sclose);
    if (H5Tis_variable_str(type.get()) > 0) continue;  // tessera never writes one
    const auto points =
        static_cast<std::size_t>(std::max<hssize_t>(0, H5Sget_simple_extent_npoints(space.get())));
    std::vector<std::byte> value(points * H5Tget_size(type.get()));
    check_hdf5(H5Aread(attribute.get(), type.get(), value.data()), what);
    Hdf5Handle copy(
        check_hdf5(H5Acreate2(to, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), what),
        H5Aclose);
    check_hdf5(H5Awrite(copy.get(), type.get(), value.data()), what);
  }
}

/// Copies links to other files. Their file names become relative to the new file's folder.
void copy_external_links(const std::filesystem::path& from, const std::filesystem::path& to, hid_t file) {
  const auto folder_of = [](const std::filesystem::path& p) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(p)).parent_path();
  };
  Hdf5Handle link_list(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(link_list.get(), 1);
  for (const Hdf5Entry& entry : list_hdf5_file(from).entries) {
    if (entry.kind != Hdf5Entry::Kind::external_link) continue;
    const std::size_t colon = entry.target.rfind(":/");
    if (colon == std::string::npos) continue;
    const std::filesystem::path named = entry.target.substr(0, colon);
    const auto absolute =
        std::filesystem::weakly_canonical(named.is_absolute() ? named : folder_of(from) / named);
    check_hdf5(H5Lcreate_external(absolute.lexically_relative(folder_of(to)).c_str(),
                                  entry.target.c_str() + colon + 1, file, entry.path.c_str(), link_list.get(),
                                  H5P_DEFAULT),
               "cannot link " + entry.target);
  }
}

}  // namespace

PackedChunk pack_chunk(std::int64_t index, std::span<const std::byte> bytes, std::int64_t voxel_bytes,
                       int level) {
  PackedChunk packed;
  packed.index = index;
  if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; })) return packed;
  std::vector<std::byte> moved;
  std::span<const std::byte> source = bytes;
  if (voxel_bytes > 1) {
    moved = shuffled(bytes, static_cast<std::size_t>(voxel_bytes));
    source = moved;
  }
  uLongf size = compressBound(source.size());
  packed.bytes.resize(size);
  if (compress2(reinterpret_cast<Bytef*>(packed.bytes.data()), &size,
                reinterpret_cast<const Bytef*>(source.data()), source.size(), level) != Z_OK) {
    throw Error("zlib cannot compress a chunk (out of memory?)");
  }
  if (size >= bytes.size()) {
    packed.filter_mask = voxel_bytes > 1 ? 0x3 : 0x1;  // neither filter
    packed.bytes.assign(bytes.begin(), bytes.end());
  } else {
    packed.bytes.resize(size);
  }
  return packed;
}

ChunkReader::ChunkReader(const std::filesystem::path& file, const OutputLayout& layout)
    : path_(file),
      file_(file, O_RDONLY),
      layout_(layout),
      chunk_(static_cast<std::size_t>(layout.chunk_bytes())) {}

std::span<const std::byte> ChunkReader::read(std::int64_t index) {
  const std::int64_t begin = layout_.base + index * layout_.chunk_bytes();
  for (std::size_t at = 0; at < chunk_.size();) {
    const ssize_t got =
        ::pread(file_.get(), chunk_.data() + at, chunk_.size() - at, begin + static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw Error(fmt::format("cannot read chunk {} of {}: {}", index, path_.string(),
                              got < 0 ? errno_text(errno) : "the file ends before it"));
    }
    at += static_cast<std::size_t>(got);
  }
  return chunk_;
}

PackedVolume::PackedVolume(const DatasetName& source, const OutputLayout& layout, const DatasetName& target,
                           int level)
    : target_(target), layout_(layout), staged_(target.file) {
  {
    const FileDescriptor writable(staged_.path(), O_RDWR | O_CREAT | O_TRUNC);
  }  // for a clearer message than the library's
  const std::string what = "cannot create " + staged_.path().string();
  Hdf5Handle from_file = open_hdf5_file(source.file);
  Hdf5Handle from(
      check_hdf5(H5Dopen2(from_file.get(), source.path.c_str(), H5P_DEFAULT), "cannot open " + source.text()),
      H5Dclose);
  Hdf5Handle access_list(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  check_hdf5(H5Pset_libver_bounds(access_list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), what);
  file_ = Hdf5Handle(
      check_hdf5(H5Fcreate(staged_.path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access_list.get()), what),
      H5Fclose);
  Hdf5Handle type(H5Dget_type(from.get()), H5Tclose), space(H5Dget_space(from.get()), H5Sclose);
  Hdf5Handle creation_list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const int rank = layout.channels > 1 ? 4 : 3;
  const std::array<hsize_t, 4> chunk{1, static_cast<hsize_t>(layout.chunk.z),
                                     static_cast<hsize_t>(layout.chunk.y),
                                     static_cast<hsize_t>(layout.chunk.x)};
  check_hdf5(H5Pset_chunk(creation_list.get(), rank, chunk.data() + (4 - rank)), what);
  if (size_of(layout.type) > 1) check_hdf5(H5Pset_shuffle(creation_list.get()), what);
  check_hdf5(H5Pset_deflate(creation_list.get(), static_cast<unsigned>(level)), what);
  Hdf5Handle link_list(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(link_list.get(), 1);
  dataset_ = Hdf5Handle(check_hdf5(H5Dcreate2(file_.get(), target.path.c_str(), type.get(), space.get(),
                                              link_list.get(), creation_list.get(), H5P_DEFAULT),
                                   what),
                        H5Dclose);
  copy_attributes(from.get(), dataset_.get(), "cannot copy the attributes of " + source.text());
  write_attribute(dataset_.get(), "packed",
                  fmt::format("{}gzip {}", size_of(layout.type) > 1 ? "shuffle, " : "", level));
  copy_external_links(source.file, target.file, file_.get());
}

void PackedVolume::write(const PackedChunk& chunk) {
  if (chunk.bytes.empty()) return;
  const Index3 grid = layout_.grid();
  const std::int64_t in_channel = chunk.index % volume_of(grid);
  const Index3 at{in_channel / (grid.y * grid.x), in_channel / grid.x % grid.y, in_channel % grid.x};
  const std::array<hsize_t, 4> offset{
      static_cast<hsize_t>(chunk.index / volume_of(grid)), static_cast<hsize_t>(at.z * layout_.chunk.z),
      static_cast<hsize_t>(at.y * layout_.chunk.y), static_cast<hsize_t>(at.x * layout_.chunk.x)};
  check_hdf5(
      H5Dwrite_chunk(dataset_.get(), H5P_DEFAULT, chunk.filter_mask,
                     offset.data() + (layout_.channels > 1 ? 0 : 1), chunk.bytes.size(), chunk.bytes.data()),
      fmt::format("cannot write chunk {} of {}", chunk.index, staged_.path().string()));
}

void PackedVolume::close() {
  // The library writes its last bytes on closing: a full disk may be noticed only here.
  const bool closed = dataset_.close() && file_.close();
  if (!closed) throw Error(fmt::format("cannot finish {}: {}", staged_.path().string(), take_hdf5_error()));
  sync_to_disk(staged_.path());
}

}  // namespace tessera
