#include "io/hdf5/dataset_identity.h"

#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_links.h"
#include "io/hdf5/virtual_sources.h"

namespace tessera {
namespace {

/// Virtual datasets of virtual datasets; a circle ends here.
constexpr int kMostNested = 16;

std::string address_of(hid_t object, const std::string& what) {
  const std::string file = std::filesystem::weakly_canonical(hdf5_file_of(object)).string();
  H5O_info_t info;
#if H5_VERSION_GE(1, 12, 0)
  check_hdf5(H5Oget_info3(object, &info, H5O_INFO_BASIC), what);
  std::string address;
  for (const unsigned char byte : info.token.__data)
    address += fmt::format("{:02x}", byte);
  return file + "#" + address;
#else
  check_hdf5(H5Oget_info2(object, &info, H5O_INFO_BASIC), what);
  return fmt::format("{}#{}", file, info.addr);
#endif
}

std::string identity_of(hid_t dataset, const DatasetName& name, int depth) {
  const std::string what = "cannot look at " + name.text();
  const Hdf5Handle list(check_hdf5(H5Dget_create_plist(dataset), what), H5Pclose);
  if (H5Pget_layout(list.get()) != H5D_VIRTUAL || depth == kMostNested) return address_of(dataset, what);
  const std::vector<VirtualSource> sources = virtual_sources(dataset, list.get(), name);
  if (sources.size() != 1) return address_of(dataset, what);
  const VirtualSource& source = sources.front();
  Hdf5Handle opened;
  hid_t file = dataset;
  if (source.file != ".") {
    std::string why;
    opened = open_referenced_file(dataset, source.file, Hdf5Reference::virtual_source, why);
    if (!opened) return address_of(dataset, what);
    file = opened.get();
  }
  if (!look_up_object(file, source.path).found) return address_of(dataset, what);
  const Hdf5Handle shown(check_hdf5(H5Dopen2(file, source.path.c_str(), H5P_DEFAULT), what), H5Dclose);
  if (extent_of(shown.get(), what) != extent_of(dataset, what)) return address_of(dataset, what);
  return identity_of(shown.get(), {hdf5_file_of(file), source.path}, depth + 1);
}

}  // namespace

std::string dataset_identity(const DatasetName& name) {
  const Hdf5Handle file = open_hdf5_file(name.file);
  const Hdf5Handle dataset(
      check_hdf5(H5Dopen2(file.get(), name.path.c_str(), H5P_DEFAULT), "cannot look at " + name.text()),
      H5Dclose);
  return identity_of(dataset.get(), name, 0);
}

}  // namespace tessera
