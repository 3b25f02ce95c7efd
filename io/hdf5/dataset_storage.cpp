#include "io/hdf5/dataset_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/base/error.h"
#include "io/hdf5/chunk_decoder.h"
#include "io/hdf5/external_storage.h"
#include "io/hdf5/hdf5_links.h"
#include "io/hdf5/virtual_sources.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// A virtual dataset may have virtual sources, which may have virtual sources.
constexpr int kMostNestedSources = 16;

void require_filters(hid_t creation_list, const DatasetName& name) {
  for (const ChunkFilter& filter : filters_of(creation_list)) {
    unsigned config = 0;
    if (H5Zfilter_avail(filter.id) > 0 && H5Zget_filter_info(filter.id, &config) >= 0 &&
        (config & H5Z_FILTER_CONFIG_DECODE_ENABLED) != 0)
      continue;
    throw Error(fmt::format(
        "{} is stored with the filter {} (HDF5 filter {}), which the HDF5 library does not have: name the "
        "folder of its plugin in HDF5_PLUGIN_PATH, or rewrite the file, for example with 'h5repack -f "
        "GZIP=4' where the filter is installed",
        name.text(), filter_text(filter), static_cast<int>(filter.id)));
  }
}

class StorageCheck {
 public:
  void add(hid_t dataset, const DatasetName& name, int depth) {
    if (depth == kMostNestedSources)
      throw Error(
          fmt::format("{}: virtual datasets lie {} deep in each other (a circle?)", name.text(), depth));
    files_.insert(fs::canonical(hdf5_file_of(dataset)));
    const std::string what = "cannot read the storage of " + name.text();
    const Hdf5Handle list(check_hdf5(H5Dget_create_plist(dataset), what), H5Pclose);
    const H5D_layout_t layout = H5Pget_layout(list.get());
    if (layout == H5D_LAYOUT_ERROR) check_hdf5(-1, what);
    require_filters(list.get(), name);
    for (const fs::path& file : require_external_files(dataset, list.get(), name))
      files_.insert(fs::canonical(file));
    if (layout == H5D_VIRTUAL) add_sources(dataset, list.get(), name, depth);
  }

  std::vector<fs::path> files() const { return {files_.begin(), files_.end()}; }

 private:
  void add_sources(hid_t dataset, hid_t creation_list, const DatasetName& name, int depth) {
    std::string opened_name;
    Hdf5Handle opened;
    for (const VirtualSource& source : virtual_sources(dataset, creation_list, name)) {
      const std::string start = fmt::format("the virtual dataset {} takes voxels from {}:{}", name.text(),
                                            source.file, source.path);
      hid_t file = dataset;
      if (source.file != ".") {
        if (source.file != opened_name) {
          std::string why;
          opened = open_referenced_file(dataset, source.file, Hdf5Reference::virtual_source, why);
          if (!opened) throw Error(fmt::format("{}, and {}. Its voxels are missing.", start, why));
          opened_name = source.file;
        }
        file = opened.get();
      }
      const Hdf5Lookup found = look_up_object(file, source.path);
      if (!found.found)
        throw Error(fmt::format("{}, {}. Its voxels are missing.", start,
                                found.why.empty() ? "which is not in that file" : "and " + found.why));
      const DatasetName source_name{hdf5_file_of(file), source.path};
      const Hdf5Handle source_dataset(
          check_hdf5(H5Dopen2(file, source.path.c_str(), H5P_DEFAULT), "cannot open " + source_name.text()),
          H5Dclose);
      require_extent(source, source_dataset.get(), start);
      const std::string text = source_name.text();
      if (std::find(chain_.begin(), chain_.end(), text) != chain_.end())
        throw Error(fmt::format("{}, which takes voxels from it: a circle without any voxel", start));
      if (!checked_.insert(text).second) continue;
      chain_.push_back(text);
      add(source_dataset.get(), source_name, depth + 1);
      chain_.pop_back();
    }
  }

  std::set<fs::path> files_;
  std::set<std::string> checked_;
  std::vector<std::string> chain_;  ///< the sources that are being checked, each one of the one before
};

}  // namespace

std::vector<fs::path> require_storage(hid_t dataset, const DatasetName& name) {
  StorageCheck check;
  check.add(dataset, name, 0);
  return check.files();
}

}  // namespace tessera
