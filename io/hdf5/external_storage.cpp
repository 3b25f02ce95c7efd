#include "io/hdf5/external_storage.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "io/base/error.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_links.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// The place of a file of external storage, as the library finds it: an absolute path, else one behind
/// HDF5_EXTFILE_PREFIX, else one in the working directory.
fs::path place_of_external_file(hid_t dataset, const fs::path& named) {
  if (named.is_absolute()) return named;
  const char* variable = std::getenv("HDF5_EXTFILE_PREFIX");
  std::string prefix = variable == nullptr ? "" : variable;
  if (prefix.empty() || prefix == ".") return named;
  constexpr std::string_view kOrigin = "${ORIGIN}";
  if (prefix.starts_with(kOrigin))
    prefix = fs::absolute(hdf5_file_of(dataset)).parent_path().string() + prefix.substr(kOrigin.size());
  return fs::path(prefix) / named;
}

/// The bytes of all voxels of a dataset.
std::uint64_t bytes_of(hid_t dataset, const std::string& what) {
  const Hdf5Handle type(check_hdf5(H5Dget_type(dataset), what), H5Tclose),
      space(check_hdf5(H5Dget_space(dataset), what), H5Sclose);
  const auto points = static_cast<std::uint64_t>(check_hdf5(H5Sget_simple_extent_npoints(space.get()), what));
  return points * check_hdf5_size(H5Tget_size(type.get()), what);
}

}  // namespace

std::vector<fs::path> require_external_files(hid_t dataset, hid_t creation_list, const DatasetName& name) {
  const std::string what = "cannot read the external files of " + name.text();
  const auto count = static_cast<unsigned>(check_hdf5(H5Pget_external_count(creation_list), what));
  std::vector<fs::path> files;
  std::uint64_t left = count > 0 ? bytes_of(dataset, what) : 0;
  for (unsigned i = 0; i < count && left > 0; ++i) {
    std::array<char, 4097> file{};
    off_t offset = 0;
    hsize_t size = 0;
    check_hdf5(H5Pget_external(creation_list, i, file.size() - 1, file.data(), &offset, &size), what);
    const fs::path place = place_of_external_file(dataset, file.data());
    const std::uint64_t needed = size == H5F_UNLIMITED ? left : std::min<std::uint64_t>(size, left);
    std::error_code code;
    const std::uintmax_t held = fs::file_size(place, code);
    if (code) {
      throw Error(fmt::format(
          "{} keeps its voxels in {}: {}. A relative name begins in the working directory, or in the folder "
          "that HDF5_EXTFILE_PREFIX names ('${{ORIGIN}}' for the folder of {}).",
          name.text(), place.string(), code.message(), name.file.string()));
    }
    if (held < static_cast<std::uint64_t>(offset) || held - static_cast<std::uint64_t>(offset) < needed) {
      throw Error(
          fmt::format("{} keeps {} bytes of voxels from byte {} of {}, which has {} bytes: voxels are "
                      "missing",
                      name.text(), needed, offset, place.string(), held));
    }
    files.push_back(place);
    left -= needed;
  }
  return files;
}

}  // namespace tessera
