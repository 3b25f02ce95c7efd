#include "io/stores/open_volume.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <span>
#include <string>
#include <vector>

#include "io/base/error.h"
#include "io/base/other_format.h"
#include "io/hdf5/hdf5_store.h"

namespace tessera {
namespace {

/// The registry: a new store is one file with a VolumeStore, and one entry here.
std::span<const VolumeStore* const> volume_stores() {
  static const std::array<const VolumeStore*, 1> stores{&hdf5_store()};
  return stores;
}

/// The store that files with the extension of `file` belong to; null when there is none.
const VolumeStore* store_by_extension(const std::filesystem::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const VolumeStore* store : volume_stores()) {
    if (store->has_extension(extension)) return store;
  }
  return nullptr;
}

/// The store of a file: by its extension, else by its content.
/// Errors: Error when the file is missing, unreadable, or of no store's format.
const VolumeStore& store_of(const std::filesystem::path& file) {
  if (const VolumeStore* store = store_by_extension(file)) return *store;
  if (access(file.c_str(), R_OK) != 0) {
    const int code = errno;
    throw Error(fmt::format("cannot open {}: {}{}", file.string(), errno_text(code),
                            code == ENOENT ? missing_file_note(file) : ""));
  }
  if (std::filesystem::is_directory(file))
    throw Error(fmt::format("cannot open {}: it is a folder, not an HDF5 file", file.string()));
  std::vector<std::string> names;
  for (const VolumeStore* store : volume_stores()) {
    if (store->has_format(file)) return *store;
    names.push_back(store->name());
  }
  if (const std::string other = other_format(file); !other.empty())
    throw Error(fmt::format("cannot open {}: it is {}", file.string(), other));
  throw Error(
      fmt::format("cannot open {}: it has none of the formats that tessera reads ({}). TIFF and PNG stacks "
                  "become HDF5 with 'tessera import'.",
                  file.string(), fmt::join(names, ", ")));
}

}  // namespace

std::unique_ptr<Volume> open_volume(const DatasetName& name, const ReadOptions& options) {
  return store_of(name.file).open(name, options, ReadAs::values);
}

VolumeInfo read_volume_info(const DatasetName& name) {
  return open_volume(name)->info();
}

std::unique_ptr<Volume> open_labels(const DatasetName& name, const ReadOptions& options) {
  return store_of(name.file).open(name, options, ReadAs::ids);
}

VolumeInfo read_labels_info(const DatasetName& name) {
  return open_labels(name)->info();
}

std::unique_ptr<DatasetTree> open_dataset_tree(const std::filesystem::path& file) {
  return store_of(file).open_tree(file);
}

OutputLayout create_output_volume(const OutputVolumeSpec& spec) {
  const VolumeStore* store = store_by_extension(spec.name.file);
  return (store != nullptr ? *store : hdf5_store()).create_output(spec);
}

OutputLayout read_output_layout(const DatasetName& name) {
  return store_of(name.file).read_output_layout(name);
}

std::unique_ptr<VolumeWriter> open_volume_writer(const DatasetName& name, const OutputLayout& layout) {
  // As in create_output_volume: without a look into the file, which would call HDF5 beside the reading
  // thread.
  const VolumeStore* store = store_by_extension(name.file);
  return (store != nullptr ? *store : hdf5_store()).open_writer(name, layout);
}

}  // namespace tessera
