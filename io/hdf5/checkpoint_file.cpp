#include "io/hdf5/checkpoint_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>
#include <system_error>

#include "io/base/crc32c.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/staged_file.h"
#include "io/hdf5/checksum_block.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_handle.h"

namespace tessera {
namespace {

constexpr const char* kFormat = "tessera checkpoint 1";

std::uint32_t crc_of_text(const std::string& text, std::uint32_t crc) {
  const std::uint64_t size = text.size();
  crc = crc32c(std::as_bytes(std::span(&size, 1)), crc);
  return crc32c(std::as_bytes(std::span(text.data(), text.size())), crc);
}

/// The CRC-32C of every name, shape and byte, in the order of the maps.
std::uint32_t checksum(const Checkpoint& checkpoint) {
  std::uint32_t crc = 0;
  for (const auto& [name, array] : checkpoint.arrays) {
    crc = crc_of_text(name, crc);
    crc = crc32c(std::as_bytes(std::span(array.shape)), crc);
    crc = crc32c(array.bytes, crc);
  }
  for (const auto& [name, text] : checkpoint.texts)
    crc = crc_of_text(text, crc_of_text(name, crc));
  for (const auto& [name, value] : checkpoint.counters) {
    crc = crc32c(std::as_bytes(std::span(&value, 1)), crc_of_text(name, crc));
  }
  for (const auto& [name, values] : checkpoint.numbers) {
    crc = crc32c(std::as_bytes(std::span(values)), crc_of_text(name, crc));
  }
  return crc;
}

hid_t hdf5_type(CheckpointArray::Type type) {
  return type == CheckpointArray::Type::int64 ? H5T_NATIVE_INT64 : H5T_NATIVE_FLOAT;
}

void write_array(hid_t file, const std::string& path, const CheckpointArray& array,
                 const std::string& file_name) {
  const std::string what = fmt::format("cannot write {} of {}", path, file_name);
  std::vector<hsize_t> dims(array.shape.begin(), array.shape.end());
  Hdf5Handle space(
      check_hdf5(dims.empty() ? H5Screate(H5S_SCALAR)
                              : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
                 what),
      H5Sclose);
  Hdf5Handle link_list(check_hdf5(H5Pcreate(H5P_LINK_CREATE), what), H5Pclose);
  check_hdf5(H5Pset_create_intermediate_group(link_list.get(), 1), what);
  Hdf5Handle dataset(check_hdf5(H5Dcreate2(file, path.c_str(), hdf5_type(array.type), space.get(),
                                           link_list.get(), H5P_DEFAULT, H5P_DEFAULT),
                                what),
                     H5Dclose);
  check_hdf5(
      H5Dwrite(dataset.get(), hdf5_type(array.type), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.bytes.data()),
      what);
  if (!dataset.close()) throw Error(fmt::format("{}: {}", what, take_hdf5_error()));
}

/// Errors: Error, also when the array is larger than `most_bytes`.
CheckpointArray read_array(hid_t file, const std::string& path, std::size_t most_bytes) {
  const std::string what = "cannot read " + path;
  Hdf5Handle dataset(check_hdf5(H5Dopen2(file, path.c_str(), H5P_DEFAULT), what), H5Dclose);
  Hdf5Handle type(check_hdf5(H5Dget_type(dataset.get()), what), H5Tclose);
  Hdf5Handle space(check_hdf5(H5Dget_space(dataset.get()), what), H5Sclose);
  CheckpointArray array;
  array.type =
      H5Tget_class(type.get()) == H5T_INTEGER ? CheckpointArray::Type::int64 : CheckpointArray::Type::float32;
  const int rank = H5Sget_simple_extent_ndims(space.get());
  std::vector<hsize_t> dims(static_cast<std::size_t>(std::max(rank, 0)));
  if (rank > 0) check_hdf5(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), what);
  array.shape.assign(dims.begin(), dims.end());
  const auto points = static_cast<std::size_t>(check_hdf5(H5Sget_simple_extent_npoints(space.get()), what));
  const std::size_t width = array.type == CheckpointArray::Type::int64 ? 8 : 4;
  if (points > most_bytes / width)
    throw Error(fmt::format("{}: {} values are more than the file can hold", what, points));
  array.bytes.resize(points * width);
  check_hdf5(H5Dread(dataset.get(), hdf5_type(array.type), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.bytes.data()),
             what);
  return array;
}

/// Called by the library for every object.
herr_t add_dataset(hid_t, const char* name, const H5O_info_t* info, void* paths) noexcept {
  return info->type == H5O_TYPE_DATASET ? static_cast<CollectedItems<std::string>*>(paths)->add(name) : 0;
}

bool begins_as_hdf5(std::span<const std::byte> bytes) {
  constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
  return bytes.size() >= kSignature.size() &&
         std::memcmp(bytes.data(), kSignature.data(), kSignature.size()) == 0;
}

/// Errors: Error.
std::vector<std::string> dataset_paths(hid_t file) {
  CollectedItems<std::string> paths;
  // In any other order, HDF5 1.10 frees memory that it never allocated when a group is damaged.
#if H5_VERSION_GE(1, 12, 0)
  const herr_t status = H5Ovisit3(file, H5_INDEX_NAME, H5_ITER_NATIVE, add_dataset, &paths, H5O_INFO_BASIC);
#else
  const herr_t status = H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, add_dataset, &paths, H5O_INFO_BASIC);
#endif
  return paths.take(status, "cannot list the arrays");
}

}  // namespace

void write_checkpoint_file(const std::filesystem::path& file, const Checkpoint& checkpoint) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  StagedFile staged(file);
  std::int64_t bytes = 1 << 20;
  for (const auto& [name, array] : checkpoint.arrays)
    bytes += static_cast<std::int64_t>(array.bytes.size());
  require_free_space(staged.target(), bytes);
  Hdf5Handle access_list(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access_list.get(), H5F_LIBVER_V18, H5F_LIBVER_V110);
  Hdf5Handle create_list(check_hdf5(H5Pcreate(H5P_FILE_CREATE), "cannot create " + staged.path().string()),
                         H5Pclose);
  check_hdf5(H5Pset_userblock(create_list.get(), kChecksumBlockBytes),
             "cannot create " + staged.path().string());
  Hdf5Handle opened(
      check_hdf5(H5Fcreate(staged.path().c_str(), H5F_ACC_TRUNC, create_list.get(), access_list.get()),
                 "cannot create " + staged.path().string()),
      H5Fclose);
  for (const auto& [path, array] : checkpoint.arrays)
    write_array(opened.get(), path, array, file.string());
  Hdf5Handle root(check_hdf5(H5Gopen2(opened.get(), "/", H5P_DEFAULT), "cannot write " + file.string()),
                  H5Gclose);
  write_attribute(root.get(), "format", std::string(kFormat));
  write_attribute(root.get(), "crc32c", static_cast<long long>(checksum(checkpoint)));
  for (const auto& [name, text] : checkpoint.texts)
    write_attribute(root.get(), "text_" + name, text);
  for (const auto& [name, value] : checkpoint.counters) {
    write_attribute(root.get(), "counter_" + name, static_cast<long long>(value));
  }
  for (const auto& [name, values] : checkpoint.numbers)
    write_attribute(root.get(), "number_" + name, values);
  root.reset();
  if (!opened.close()) throw Error(fmt::format("cannot finish {}: {}", file.string(), take_hdf5_error()));
  write_checksum_block(staged.path());
  staged.commit();
}

Checkpoint parse_checkpoint(std::vector<std::byte> bytes, const std::string& name) {
  // Files of earlier versions are plain HDF5 and have only the checksum of their contents.
  if (has_checksum_block(bytes)) {
    require_checksum(bytes, "the checkpoint " + name);
  } else if (!begins_as_hdf5(bytes)) {
    throw Error(name + " is no checkpoint, or a damaged one: it does not begin as one");
  }
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  Hdf5Handle access_list(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  constexpr std::size_t kGrowBy = 1 << 20;
  H5Pset_fapl_core(access_list.get(), kGrowBy, /*backing_store=*/0);
  H5Pset_file_image(access_list.get(), bytes.data(), bytes.size());
  const std::string damaged = name + " is no checkpoint, or a damaged one";
  // The library looks for a file of the image's name and fails if one exists. This name cannot exist, and no
  // shared file system has to be searched.
  const std::string image_name = "/dev/null/" + name;
  Hdf5Handle file(check_hdf5(H5Fopen(image_name.c_str(), H5F_ACC_RDONLY, access_list.get()), damaged),
                  H5Fclose);
  Hdf5Handle root(check_hdf5(H5Gopen2(file.get(), "/", H5P_DEFAULT), damaged), H5Gclose);
  std::map<std::string, std::string> texts;
  try {
    texts = read_string_attributes(root.get());
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(damaged + ": " + error.what());
  }
  const auto format = texts.find("format");
  if (format == texts.end() || format->second != kFormat)
    throw Error(damaged + ": the format mark is missing");
  Checkpoint checkpoint;
  std::optional<long long> stored_crc;
  try {
    stored_crc = read_integer_attribute(root.get(), "crc32c");
    for (const std::string& path : dataset_paths(file.get()))
      checkpoint.arrays[path] = read_array(file.get(), path, bytes.size());
    for (const auto& [key, text] : texts) {
      if (key.rfind("text_", 0) == 0) checkpoint.texts[key.substr(5)] = text;
    }
    for (const std::string& key : attribute_names(root.get())) {
      if (key.rfind("counter_", 0) == 0) {
        const auto value = read_integer_attribute(root.get(), key);
        if (value) checkpoint.counters[key.substr(8)] = *value;
      }
      if (key.rfind("number_", 0) == 0)
        checkpoint.numbers[key.substr(7)] = read_double_attribute(root.get(), key);
    }
  } catch (const std::bad_alloc&) {  // no damage: read_array() allocates no more than the file's size
    throw;
  } catch (const std::exception& error) {  // also std::length_error, for a damaged size
    throw Error(damaged + ": " + error.what());
  }
  if (stored_crc != static_cast<long long>(checksum(checkpoint))) {
    throw Error(damaged + ": its checksum does not match");
  }
  return checkpoint;
}

std::filesystem::path CheckpointFolder::at_iteration(std::int64_t iteration) const {
  return folder_ / fmt::format("iteration_{:08d}.h5", iteration);
}

std::vector<std::filesystem::path> CheckpointFolder::newest_first() const {
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path& file : paths_in(folder_)) {  // no folder, no checkpoints
    const std::string name = file.filename().string();
    if (name.rfind("iteration_", 0) == 0 && file.extension() == ".h5") files.push_back(file);
  }
  std::sort(files.rbegin(), files.rend());
  return files;
}

void CheckpointFolder::keep_newest(std::size_t keep, std::int64_t iteration) const {
  auto files = newest_first();
  std::erase_if(files, [&](const auto& file) { return file > at_iteration(iteration); });
  for (std::size_t i = keep; i < files.size(); ++i)
    std::filesystem::remove(files[i]);
}

void CheckpointFolder::remove_unfinished() const {
  for (const std::filesystem::path& file : paths_in(folder_)) {
    if (!file.string().ends_with(".tmp")) continue;
    std::error_code code;
    if (!std::filesystem::remove(file, code) && code)
      throw Error(
          fmt::format("cannot remove {}, which a killed training left: {}", file.string(), code.message()));
  }
}

}  // namespace tessera
