#include "io/hdf5/hdf5_listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/base/error.h"
#include "io/hdf5/checksum_block.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_links.h"
#include "io/hdf5/hdf5_types.h"

namespace tessera {
namespace {

struct ListedLink {
  std::string path;
  H5L_type_t type = H5L_TYPE_HARD;

  ListedLink(const char* name, H5L_type_t its_type) : path(std::string("/") + name), type(its_type) {}
};

/// Called by the library for every link.
herr_t add_link(hid_t, const char* name, const H5L_info_t* info, void* out) noexcept {
  return static_cast<CollectedItems<ListedLink>*>(out)->add(name, info->type);
}

/// Where a link leads, and why it leads nowhere.
void describe_target(hid_t file, const ListedLink& link, Hdf5Entry& entry) {
  try {
    entry.target = hdf5_link_target(file, link.path);
    const Hdf5Lookup target = look_up_object(file, link.path);
    if (!target.found) entry.problem = target.why;
  } catch (const Error& error) {
    entry.problem = error.what();
  }
}

void describe_dataset(hid_t object, const DatasetName& name, Hdf5Entry& entry) {
  Hdf5Handle type(H5Dget_type(object), H5Tclose);
  Hdf5Handle space(H5Dget_space(object), H5Sclose);
  if (!type || !space) {
    entry.problem = take_hdf5_error();
    return;
  }
  entry.type = hdf5_type_text(type.get());
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank > 0) {
    std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
    if (H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr) < 0) {
      entry.problem = take_hdf5_error();
      return;
    }
    entry.shape.assign(dims.begin(), dims.end());
  }
  // 0 is both a size and the value of a failure, which leaves an error behind.
  H5Eclear2(H5E_DEFAULT);
  entry.stored_bytes = static_cast<std::int64_t>(H5Dget_storage_size(object));
  if (entry.stored_bytes == 0 && H5Eget_num(H5E_DEFAULT) > 0) {
    entry.problem = take_hdf5_error();
    return;
  }
  try {
    entry.volume = VolumeReader(name).info();
  } catch (const Error& error) {
    entry.problem = error.what();
  }
}

}  // namespace

Hdf5Listing list_hdf5_file(const std::filesystem::path& file) {
  require_checksum_if_any(file);
  const Hdf5Handle opened = open_hdf5_file(file);
  Hdf5Listing listing;
  Hdf5Handle root(
      check_hdf5(H5Gopen2(opened.get(), "/", H5P_DEFAULT), "cannot open the root of " + file.string()),
      H5Gclose);
  listing.attributes = read_string_attributes(root.get());
  CollectedItems<ListedLink> links;
  const herr_t status = H5Lvisit(opened.get(), H5_INDEX_NAME, H5_ITER_NATIVE, add_link, &links);
  for (const ListedLink& link : links.take(status, fmt::format("cannot list what {} holds", file.string()))) {
    Hdf5Entry entry;
    entry.path = link.path;
    if (link.type != H5L_TYPE_HARD) {
      entry.kind = link.type == H5L_TYPE_SOFT ? Hdf5Entry::Kind::soft_link : Hdf5Entry::Kind::external_link;
      describe_target(opened.get(), link, entry);
    } else {
      Hdf5Handle object(H5Oopen(opened.get(), link.path.c_str(), H5P_DEFAULT), H5Oclose);
      if (!object) {
        entry.kind = Hdf5Entry::Kind::broken;
        entry.problem = take_hdf5_error();
      } else if (H5Iget_type(object.get()) == H5I_DATASET) {
        describe_dataset(object.get(), {file, link.path}, entry);
      } else {
        continue;  // a group or a named type
      }
    }
    listing.entries.push_back(std::move(entry));
  }
  std::sort(listing.entries.begin(), listing.entries.end(),
            [](const Hdf5Entry& a, const Hdf5Entry& b) { return a.path < b.path; });
  H5Eclear2(H5E_DEFAULT);
  return listing;
}

}  // namespace tessera
