#pragma once

#include <hdf5.h>

#include <filesystem>
#include <string>
#include <vector>

#include "io/hdf5/hdf5_handle.h"

namespace tessera {

/// What a path inside a file leads to.
struct Hdf5Lookup {
  bool found = false;
  std::string why;  ///< if not found: the link or dataset in the way; empty when the path does not exist
};

/// Follows `path` (absolute) and every link on it, also into other files. `file`: any object of the file.
/// Errors: Error when the library fails; a dangling link is no error.
Hdf5Lookup look_up_object(hid_t file, const std::string& path);

/// Whether `path` (absolute) leads to an object. Errors: as look_up_object().
bool hdf5_path_exists(hid_t file, const std::string& path);

/// Whether a link of this name exists, also a dangling one. Its group must exist. Errors: Error.
bool hdf5_link_exists(hid_t file, const std::string& path);

/// Whether an existing link is hard: the object is in this file. Errors: Error.
bool hdf5_link_is_hard(hid_t file, const std::string& path);

/// The target of a link that is not hard: "file:/path" or "/path". Errors: Error.
std::string hdf5_link_target(hid_t file, const std::string& path);

/// Other files that a file names, as the library finds them.
enum class Hdf5Reference { external_link, virtual_source };

/// The places where the library looks for the file `named`, in its order. `from`: any object of the file that
/// names it. Errors: Error.
std::vector<std::filesystem::path> places_of(hid_t from, const std::string& named, Hdf5Reference kind);

/// The first file of places_of() that can be opened. `why`: the reason when none can, such as
/// "src.h5 does not exist (beside all.h5, or in the working directory)". Errors: Error.
Hdf5Handle open_referenced_file(hid_t from, const std::string& named, Hdf5Reference kind, std::string& why);

/// The path of the file that an object is in. Errors: Error.
std::filesystem::path hdf5_file_of(hid_t object);

}  // namespace tessera
