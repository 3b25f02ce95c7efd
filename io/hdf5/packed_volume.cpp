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
#include "io/hdf5/hdf5_links.h"
#include "io/hdf5/hdf5_listing.h"
#include "io/hdf5/hdf5_tree.h"

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

/// Copies links to other files. Their file names become relative to the new file's folder.
void copy_external_links(const std::filesystem::path& from, const std::filesystem::path& to, hid_t file) {
  const auto folder_of = [](const std::filesystem::path& p) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(p)).parent_path();
  };
  Hdf5Handle link_list(check_hdf5(H5Pcreate(H5P_LINK_CREATE), "cannot create links"), H5Pclose);
  check_hdf5(H5Pset_create_intermediate_group(link_list.get(), 1), "cannot create links");
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

/// Copies all but the result and the links to other files: a result's file may hold more than the result.
class OtherObjects {
 public:
  OtherObjects(const DatasetName& source, hid_t to, const std::string& result_in_copy)
      : source_(source),
        tree_(source.file),
        from_(open_hdf5_file(source.file)),
        to_(to),
        result_in_copy_(result_in_copy),
        link_list_(check_hdf5(H5Pcreate(H5P_LINK_CREATE), "cannot create links"), H5Pclose) {
    check_hdf5(H5Pset_create_intermediate_group(link_list_.get(), 1), "cannot create links");
  }

  void copy_group(const std::string& group, int depth = 0) {
    constexpr int kMostNestedGroups = 64;
    if (depth == kMostNestedGroups)
      throw Error(fmt::format("{} has groups in a circle at {}", source_.text(), group));
    copy_attributes_of(group);
    for (const std::string& name : tree_.names_in(group)) {
      const std::string path = (group == "/" ? "" : group) + "/" + name;
      if (path == source_.path || path == result_in_copy_) continue;
      const std::string what = fmt::format("cannot copy {} of {}", path, source_.file.string());
      H5L_info_t info;
      check_hdf5(H5Lget_info(from_.get(), path.c_str(), &info, H5P_DEFAULT), what);
      if (info.type == H5L_TYPE_SOFT) {
        check_hdf5(H5Lcreate_soft(hdf5_link_target(from_.get(), path).c_str(), to_, path.c_str(),
                                  link_list_.get(), H5P_DEFAULT),
                   what);
      } else if (info.type == H5L_TYPE_HARD && tree_.kind_of(path) == DatasetTree::Kind::group) {
        copy_group(path, depth + 1);
      } else if (info.type == H5L_TYPE_HARD) {
        check_hdf5(H5Ocopy(from_.get(), path.c_str(), to_, path.c_str(), H5P_DEFAULT, link_list_.get()),
                   what);
      }
    }
  }

 private:
  /// Creates the group in the copy, unless it exists there.
  void copy_attributes_of(const std::string& group) {
    const std::string what = fmt::format("cannot copy {} of {}", group, source_.file.string());
    const Hdf5Handle from(check_hdf5(H5Gopen2(from_.get(), group.c_str(), H5P_DEFAULT), what), H5Gclose);
    const bool exists = hdf5_path_exists(to_, group);
    const Hdf5Handle to(
        check_hdf5(exists ? H5Gopen2(to_, group.c_str(), H5P_DEFAULT)
                          : H5Gcreate2(to_, group.c_str(), link_list_.get(), H5P_DEFAULT, H5P_DEFAULT),
                   what),
        H5Gclose);
    copy_attributes(from.get(), to.get(), what);
    require_equal_attributes(from.get(), to.get(), what);
  }

  const DatasetName& source_;
  Hdf5Tree tree_;
  Hdf5Handle from_;
  hid_t to_;
  std::string result_in_copy_;
  Hdf5Handle link_list_;
};

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
                           int level, const std::string& note)
    : source_(source), target_(target), layout_(layout), staged_(target.file) {
  const std::string what = "cannot create " + staged_.path().string();
  Hdf5Handle from_file = open_hdf5_file(source.file);
  Hdf5Handle from(
      check_hdf5(H5Dopen2(from_file.get(), source.path.c_str(), H5P_DEFAULT), "cannot open " + source.text()),
      H5Dclose);
  Hdf5Handle access_list(check_hdf5(H5Pcreate(H5P_FILE_ACCESS), what), H5Pclose);
  check_hdf5(H5Pset_libver_bounds(access_list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), what);
  file_ = Hdf5Handle(
      check_hdf5(H5Fcreate(staged_.path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access_list.get()), what),
      H5Fclose);
  Hdf5Handle type(check_hdf5(H5Dget_type(from.get()), what), H5Tclose),
      space(check_hdf5(H5Dget_space(from.get()), what), H5Sclose);
  Hdf5Handle creation_list(check_hdf5(H5Pcreate(H5P_DATASET_CREATE), what), H5Pclose);
  const int rank = layout.channels > 1 ? 4 : 3;
  const std::array<hsize_t, 4> chunk{1, static_cast<hsize_t>(layout.chunk.z),
                                     static_cast<hsize_t>(layout.chunk.y),
                                     static_cast<hsize_t>(layout.chunk.x)};
  check_hdf5(H5Pset_chunk(creation_list.get(), rank, chunk.data() + (4 - rank)), what);
  if (size_of(layout.type) > 1) check_hdf5(H5Pset_shuffle(creation_list.get()), what);
  check_hdf5(H5Pset_deflate(creation_list.get(), static_cast<unsigned>(level)), what);
  Hdf5Handle link_list(check_hdf5(H5Pcreate(H5P_LINK_CREATE), "cannot create links"), H5Pclose);
  check_hdf5(H5Pset_create_intermediate_group(link_list.get(), 1), "cannot create links");
  dataset_ = Hdf5Handle(check_hdf5(H5Dcreate2(file_.get(), target.path.c_str(), type.get(), space.get(),
                                              link_list.get(), creation_list.get(), H5P_DEFAULT),
                                   what),
                        H5Dclose);
  copy_attributes(from.get(), dataset_.get(), "cannot copy the attributes of " + source.text());
  write_attribute(dataset_.get(), "packed",
                  fmt::format("{}gzip {}{}{}", size_of(layout.type) > 1 ? "shuffle, " : "", level,
                              note.empty() ? "" : "; ", note));
  OtherObjects(source, file_.get(), target.path).copy_group("/");
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
  const Hdf5Handle from = open_hdf5_file(source_.file), to = open_hdf5_file(staged_.path());
  const std::string what = "cannot copy the attributes of " + source_.text();
  const Hdf5Handle original(check_hdf5(H5Dopen2(from.get(), source_.path.c_str(), H5P_DEFAULT), what),
                            H5Dclose);
  const Hdf5Handle copy(check_hdf5(H5Dopen2(to.get(), target_.path.c_str(), H5P_DEFAULT), what), H5Dclose);
  require_equal_attributes(original.get(), copy.get(), what);
  sync_to_disk(staged_.path());
}

}  // namespace tessera
