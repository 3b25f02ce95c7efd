#pragma once

#include <hdf5.h>

#include <filesystem>
#include <string>
#include <utility>

namespace tessera {

/// The one owner of an HDF5 identifier. Moves, never copies; closing never throws.
class Hdf5Handle {
 public:
  using CloseFunction = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, CloseFunction close_function) : id_(id), close_(close_function) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    if (this != &other) {
      reset();
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
      close_ = other.close_;
    }
    return *this;
  }
  ~Hdf5Handle() { reset(); }

  hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  void reset() noexcept {
    if (id_ >= 0 && close_ != nullptr) close_(id_);
    id_ = H5I_INVALID_HID;
  }
  /// Closes now and says whether the library could; for files, and datasets with chunks or small data, whose
  /// last bytes are written on closing.
  bool close() {
    if (id_ < 0) return true;
    return close_(std::exchange(id_, H5I_INVALID_HID)) >= 0;
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
  CloseFunction close_ = nullptr;
};

/// The innermost message of the library's error stack, emptied; "" when there is none.
std::string take_hdf5_error();

/// Before any other use of the library: at the program's end it shall not close what is still open. Every
/// file here has its owner, and after a write that failed for a full disk that closing crashes (HDF5 1.10.8).
void keep_hdf5_from_cleaning_up();

/// Throws Error "<what>: <the library's reason>" when `status` is negative; returns it otherwise.
hid_t check_hdf5(hid_t status, const std::string& what);

/// Opens a file for reading. Errors: Error that tells a missing file, an unreadable one, one that is not
/// HDF5 and a truncated one apart.
Hdf5Handle open_hdf5_file(const std::filesystem::path& file);

/// Whether an existing file has the HDF5 format.
bool is_hdf5_file(const std::filesystem::path& file);

/// Whether `path` (absolute) leads to an object, without an error for missing intermediate groups.
bool hdf5_path_exists(hid_t file, const std::string& path);

}  // namespace tessera
