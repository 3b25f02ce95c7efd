#include "io/hdf5/hdf5_tree.h"

#include <algorithm>

#include "io/hdf5/hdf5_links.h"
#include "io/volume/dataset_name.h"

namespace tessera {
namespace {

/// Called by the library for every link.
herr_t add_name(hid_t, const char* name, const H5L_info_t*, void* out) noexcept {
  return static_cast<CollectedItems<std::string>*>(out)->add(name);
}

}  // namespace

Hdf5Tree::Hdf5Tree(const std::filesystem::path& file) : name_(file), file_(open_hdf5_file(file)) {}

DatasetTree::Kind Hdf5Tree::kind_of(const std::string& path) const {
  if (!hdf5_path_exists(file_.get(), path)) return Kind::nothing;
  const Hdf5Handle object(check_hdf5(H5Oopen(file_.get(), path.c_str(), H5P_DEFAULT),
                                     "cannot open " + DatasetName{name_, path}.text()),
                          H5Oclose);
  const H5I_type_t type = H5Iget_type(object.get());
  return type == H5I_DATASET ? Kind::dataset : type == H5I_GROUP ? Kind::group : Kind::nothing;
}

std::vector<std::string> Hdf5Tree::names_in(const std::string& group) const {
  const std::string name = DatasetName{name_, group}.text();
  const Hdf5Handle opened(
      check_hdf5(H5Gopen2(file_.get(), group.c_str(), H5P_DEFAULT), "cannot open " + name), H5Gclose);
  // In any other order, HDF5 1.10 frees memory that it never allocated when the group is damaged.
  CollectedItems<std::string> collected;
  const herr_t status =
      H5Literate(opened.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add_name, &collected);
  std::vector<std::string> names = collected.take(status, "cannot list what is in " + name);
  std::ranges::sort(names);
  return names;
}

}  // namespace tessera
