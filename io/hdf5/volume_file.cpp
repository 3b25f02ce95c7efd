#include "io/hdf5/volume_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/utf8_text.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_links.h"
#include "io/hdf5/hdf5_types.h"

namespace tessera {
namespace {

/// Creates the missing groups above `path`, without time stamps: the same input gives the same bytes.
/// `name`: of the dataset, for messages. Errors: UsageError when a dataset or a dangling link is in the way.
void create_groups_above(hid_t file, const std::string& path, const std::string& name) {
  const std::string what = "cannot create " + name;
  Hdf5Handle creation_list(check_hdf5(H5Pcreate(H5P_GROUP_CREATE), what), H5Pclose);
  check_hdf5(H5Pset_obj_track_times(creation_list.get(), false), what);
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string group = path.substr(0, slash);
    const Hdf5Lookup existing = look_up_object(file, group);
    if (!existing.why.empty()) throw UsageError(fmt::format("{}: {}", what, existing.why));
    if (existing.found) {
      const Hdf5Handle object(check_hdf5(H5Oopen(file, group.c_str(), H5P_DEFAULT), what), H5Oclose);
      if (H5Iget_type(object.get()) == H5I_GROUP) continue;
      throw UsageError(fmt::format("{}: {} is a dataset, nothing can be put beneath it", what, group));
    }
    Hdf5Handle created(
        check_hdf5(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, creation_list.get(), H5P_DEFAULT), what),
        H5Gclose);
  }
}

std::int64_t datasets_below(hid_t file, const std::string& group, const std::string& what) {
  std::int64_t datasets = 0;
  const auto count = [](hid_t, const char*, const H5O_info_t* info, void* to) -> herr_t {
    if (info->type == H5O_TYPE_DATASET) ++*static_cast<std::int64_t*>(to);
    return 0;
  };
  // In any other order, HDF5 1.10 frees memory that it never allocated when a group is damaged.
#if H5_VERSION_GE(1, 12, 0)
  check_hdf5(H5Ovisit_by_name3(file, group.c_str(), H5_INDEX_NAME, H5_ITER_NATIVE, count, &datasets,
                               H5O_INFO_BASIC, H5P_DEFAULT),
             what);
#else
  check_hdf5(H5Ovisit_by_name2(file, group.c_str(), H5_INDEX_NAME, H5_ITER_NATIVE, count, &datasets,
                               H5O_INFO_BASIC, H5P_DEFAULT),
             what);
#endif
  return datasets;
}

/// `path`: an existing link; `name`: of the dataset, for messages. Errors: UsageError unless it is a hard
/// link to a dataset.
void require_replaceable(hid_t file, const std::string& path, const std::string& name) {
  if (!hdf5_link_is_hard(file, path)) {
    throw UsageError(fmt::format("{} is a link to {}: name that dataset to replace it", name,
                                 hdf5_link_target(file, path)));
  }
  const std::string what = "cannot replace " + name;
  const Hdf5Handle object(check_hdf5(H5Oopen(file, path.c_str(), H5P_DEFAULT), what), H5Oclose);
  const H5I_type_t type = H5Iget_type(object.get());
  if (type == H5I_GROUP) {
    const std::int64_t datasets = datasets_below(file, path, what);
    throw UsageError(fmt::format(
        "{} is a group that holds {} dataset{}, not a dataset: name the dataset to write, such as {}/raw",
        name, datasets, datasets == 1 ? "" : "s", path == "/" ? "" : path));
  }
  if (type != H5I_DATASET) throw UsageError(what + ": it is no dataset");
}

}  // namespace

Index3 default_chunk(const Index3& shape) {
  return {std::min<std::int64_t>(shape.z, 4), std::min<std::int64_t>(shape.y, 256),
          std::min<std::int64_t>(shape.x, 256)};
}

VolumeFile::VolumeFile(const std::filesystem::path& file, bool keep) : staged_(file), file_(file) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const std::string what = "cannot create " + staged_.path().string();
  Hdf5Handle access_list(check_hdf5(H5Pcreate(H5P_FILE_ACCESS), what), H5Pclose);
  check_hdf5(H5Pset_libver_bounds(access_list.get(), H5F_LIBVER_V18, H5F_LIBVER_V110), what);
  Hdf5Handle creation_list(check_hdf5(H5Pcreate(H5P_FILE_CREATE), what), H5Pclose);
  check_hdf5(H5Pset_obj_track_times(creation_list.get(), false), what);  // of the root group
  const bool extends = keep && std::filesystem::exists(file);
  if (extends) {
    open_hdf5_file(file);  // for a clear message when it is not valid
    require_free_space(staged_.target(), static_cast<std::int64_t>(std::filesystem::file_size(file)));
    std::filesystem::copy_file(file, staged_.path(), std::filesystem::copy_options::overwrite_existing);
    // Of a file that is read-only, the copy is, too, until it is complete.
    std::filesystem::permissions(staged_.path(), std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
  }
  opened_ = Hdf5Handle(check_hdf5(extends ? H5Fopen(staged_.path().c_str(), H5F_ACC_RDWR, access_list.get())
                                          : H5Fcreate(staged_.path().c_str(), H5F_ACC_TRUNC,
                                                      creation_list.get(), access_list.get()),
                                  what),
                       H5Fclose);
}

void VolumeFile::add(const VolumeSpec& spec, bool replace) {
  const std::string name = file_.string() + ":" + spec.path;
  create_groups_above(opened_.get(), spec.path, name);
  if (hdf5_link_exists(opened_.get(), spec.path)) {
    require_replaceable(opened_.get(), spec.path, name);
    if (!replace) throw UsageError(name + " exists already; pass --overwrite to replace it");
    check_hdf5(H5Ldelete(opened_.get(), spec.path.c_str(), H5P_DEFAULT), "cannot replace " + name);
  }
  std::array<hsize_t, 3> dims{}, chunk{};
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    dims[at] = static_cast<hsize_t>(spec.shape[axis]);
    chunk[at] = static_cast<hsize_t>(std::clamp<std::int64_t>(spec.chunk[axis], 1, spec.shape[axis]));
  }
  Hdf5Handle space(check_hdf5(H5Screate_simple(3, dims.data(), nullptr), "cannot shape " + name), H5Sclose);
  Hdf5Handle creation_list(check_hdf5(H5Pcreate(H5P_DATASET_CREATE), "cannot create " + name), H5Pclose);
  check_hdf5(H5Pset_chunk(creation_list.get(), 3, chunk.data()), "cannot chunk " + name);
  // The same input gives the same bytes.
  check_hdf5(H5Pset_obj_track_times(creation_list.get(), false), "cannot create " + name);
  if (spec.gzip > 0) {
    check_hdf5(H5Pset_shuffle(creation_list.get()), "cannot compress " + name);
    check_hdf5(H5Pset_deflate(creation_list.get(), static_cast<unsigned>(spec.gzip)),
               "cannot compress " + name);
  }
  Hdf5Handle dataset(check_hdf5(H5Dcreate2(opened_.get(), spec.path.c_str(), hdf5_memory_type(spec.type),
                                           space.get(), H5P_DEFAULT, creation_list.get(), H5P_DEFAULT),
                                "cannot create " + name),
                     H5Dclose);
  if (!spec.resolution_nm.empty()) write_attribute(dataset.get(), "resolution", spec.resolution_nm);
  if (!spec.offset_nm.empty()) write_attribute(dataset.get(), "offset", spec.offset_nm);
  for (const auto& [key, value] : spec.attributes)
    write_attribute(dataset.get(), key, shown_as_utf8(value));
  if (!dataset.close()) throw Error(fmt::format("cannot create {}: {}", name, take_hdf5_error()));
}

void VolumeFile::write_sections(const std::string& path, std::int64_t z_begin, const VoxelBuffer& buffer) {
  const std::string what = fmt::format("cannot write sections [{}, {}) of {}:{}", z_begin,
                                       z_begin + buffer.shape.z, file_.string(), path);
  Hdf5Handle dataset(check_hdf5(H5Dopen2(opened_.get(), path.c_str(), H5P_DEFAULT), what), H5Dclose);
  Hdf5Handle file_space(check_hdf5(H5Dget_space(dataset.get()), what), H5Sclose);
  const std::array<hsize_t, 3> start{static_cast<hsize_t>(z_begin), 0, 0};
  const std::array<hsize_t, 3> count{static_cast<hsize_t>(buffer.shape.z),
                                     static_cast<hsize_t>(buffer.shape.y),
                                     static_cast<hsize_t>(buffer.shape.x)};
  check_hdf5(
      H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
      what);
  Hdf5Handle memory_space(check_hdf5(H5Screate_simple(3, count.data(), nullptr), what), H5Sclose);
  check_hdf5(H5Dwrite(dataset.get(), hdf5_memory_type(buffer.type), memory_space.get(), file_space.get(),
                      H5P_DEFAULT, buffer.bytes.data()),
             what);
  // The library's cache holds chunks until here: a full disk may be noticed only now.
  if (!dataset.close()) throw Error(fmt::format("{}: {}", what, take_hdf5_error()));
}

void VolumeFile::commit() {
  // The library writes its last bytes on closing: a full disk may be noticed only here.
  if (!opened_.close()) throw Error(fmt::format("cannot finish {}: {}", file_.string(), take_hdf5_error()));
  staged_.commit();
}

}  // namespace tessera
