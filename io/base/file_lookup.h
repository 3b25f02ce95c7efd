#pragma once

#include <filesystem>
#include <vector>

namespace tessera {

// What is on the disk. An error of the file system is never taken for "does not exist".

/// Whether something has this name, be it a file or a folder. Errors: Error when that cannot be found out.
bool file_exists(const std::filesystem::path& file);

/// Whether this is a folder, or a link to one. Errors: Error when that cannot be found out.
bool is_folder(const std::filesystem::path& path);

/// Whether both names are of one existing file. Errors: Error when that cannot be found out.
bool is_same_file(const std::filesystem::path& one, const std::filesystem::path& other);

/// The paths of what is in a folder, sorted; none where the folder does not exist. Errors: Error when it
/// cannot be listed to its end.
std::vector<std::filesystem::path> paths_in(const std::filesystem::path& folder);

}  // namespace tessera
