#include "io/hdf5/hdf5_handle.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "io/base/error.h"
#include "io/base/other_format.h"

namespace tessera {

std::string take_hdf5_error() {
  std::array<char, 1000> innermost{};  // the library calls a plain function, which must not throw
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
        auto& to = *static_cast<std::array<char, 1000>*>(out);
        if (n == 0 && error->desc != nullptr) std::snprintf(to.data(), to.size(), "%s", error->desc);
        return 0;
      },
      &innermost);
  H5Eclear2(H5E_DEFAULT);
  const std::string text = innermost.data();
  // For a failed write the library adds addresses and sizes; the operating system's message is enough.
  static const std::string kReason = "error message = '";
  const std::size_t begin = text.find(kReason);
  if (begin == std::string::npos) return text;
  const std::size_t end = text.find('\'', begin + kReason.size());
  return text.substr(begin + kReason.size(), end == std::string::npos ? end : end - begin - kReason.size());
}

void keep_hdf5_from_cleaning_up() {
  H5dont_atexit();
}

hid_t check_hdf5(hid_t status, const std::string& what) {
  if (status < 0) {
    const std::string reason = take_hdf5_error();
    throw Error(reason.empty() ? what : what + ": " + reason);
  }
  return status;
}

std::size_t check_hdf5_size(std::size_t size, const std::string& what) {
  if (size == 0) check_hdf5(-1, what);
  return size;
}

std::vector<hsize_t> extent_of(hid_t dataset, const std::string& what) {
  const Hdf5Handle space(check_hdf5(H5Dget_space(dataset), what), H5Sclose);
  std::vector<hsize_t> shape(
      static_cast<std::size_t>(check_hdf5(H5Sget_simple_extent_ndims(space.get()), what)));
  check_hdf5(H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr), what);
  return shape;
}

bool is_hdf5_file(const std::filesystem::path& file) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const bool is_hdf5 = H5Fis_hdf5(file.c_str()) > 0;
  H5Eclear2(H5E_DEFAULT);
  return is_hdf5;
}

namespace {

/// Reports why the library could not open a file.
[[noreturn]] void throw_why_not_opened(const std::filesystem::path& file) {
  const std::string reason = take_hdf5_error(), name = file.string();
  if (access(name.c_str(), R_OK) != 0) {
    const int code = errno;
    throw Error(fmt::format("cannot open {}: {}{}", name, errno_text(code),
                            code == ENOENT ? missing_file_note(file) : ""));
  }
  if (std::filesystem::is_directory(file)) {
    throw Error(fmt::format("cannot open {}: it is a folder, not an HDF5 file", name));
  }
  if (!is_hdf5_file(file)) {
    if (const std::string other = other_format(file); !other.empty())
      throw Error(fmt::format("{} is {}", name, other));
    throw Error(
        fmt::format("{} is not an HDF5 file (TIFF and PNG stacks become one with 'tessera import')", name));
  }
  throw Error(fmt::format("cannot open {}: {} (is the file damaged, truncated, or still being written?)",
                          name, reason));
}

}  // namespace

Hdf5Handle open_hdf5_file(const std::filesystem::path& file) {
  // By default the library prints its error stack to standard error. The exceptions replace it.
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  // The reason of a failure is looked up afterwards: a check before would cost every rank a call to the file
  // system.
  Hdf5Handle opened(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (!opened) throw_why_not_opened(file);
  return opened;
}

}  // namespace tessera
