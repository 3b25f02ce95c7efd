#pragma once

#include <hdf5.h>

#include <exception>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// Owns an HDF5 identifier. Move-only; the destructor does not throw.
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
  /// Closes now; returns false when the library failed. For files and datasets, whose last bytes are written
  /// on closing.
  bool close() {
    if (id_ < 0) return true;
    return close_(std::exchange(id_, H5I_INVALID_HID)) >= 0;
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
  CloseFunction close_ = nullptr;
};

/// The innermost message of the library's error stack, which it clears; "" when the stack is empty.
std::string take_hdf5_error();

/// Keeps the library from closing open files at program end. Call it before any other HDF5 function. Every
/// file has an owner anyway, and closing crashes after a write that failed on a full disk (HDF5 1.10.8).
void keep_hdf5_from_cleaning_up();

/// Returns `status`. Errors: Error "<what>: <the library's reason>" when `status` is negative.
hid_t check_hdf5(hid_t status, const std::string& what);

/// Returns `size`, of a function that returns 0 for a failure. Errors: as check_hdf5() when it is 0.
std::size_t check_hdf5_size(std::size_t size, const std::string& what);

/// The lengths of a dataset along its axes; none for a scalar. Errors: as check_hdf5().
std::vector<hsize_t> extent_of(hid_t dataset, const std::string& what);

/// Opens a file for reading. Errors: Error, with its own message for a missing file, an unreadable one, one
/// that is not HDF5, and a truncated one.
Hdf5Handle open_hdf5_file(const std::filesystem::path& file);

/// Whether an existing file has the HDF5 format.
bool is_hdf5_file(const std::filesystem::path& file);

/// What a callback of the library collects. An exception must not pass through the library: it is kept, the
/// library's call fails, and check() throws it.
template <class Item>
class CollectedItems {
 public:
  /// For the callback: appends an item, and returns what the callback is to return.
  template <class... Arguments>
  herr_t add(Arguments&&... arguments) noexcept {
    try {
      items_.emplace_back(std::forward<Arguments>(arguments)...);
      return 0;
    } catch (...) {
      failure_ = std::current_exception();
      return -1;
    }
  }
  /// The items, after the library's call returned `status`. Errors: as check_hdf5(), std::bad_alloc.
  std::vector<Item> take(herr_t status, const std::string& what) {
    if (failure_) {
      H5Eclear2(H5E_DEFAULT);
      std::rethrow_exception(failure_);
    }
    check_hdf5(status, what);
    return std::move(items_);
  }

 private:
  std::vector<Item> items_;
  std::exception_ptr failure_;
};

}  // namespace tessera
