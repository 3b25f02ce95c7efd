#pragma once

#include <filesystem>
#include <string>

namespace tessera {

/// Of a file whose name says a format that Tessera does not read: what it is and what to do, such as "a JPEG
/// image: convert it to TIFF or PNG, ..."; "" for other names. Does not access the file system.
std::string other_format(const std::filesystem::path& file);

/// What an existing file is by its first bytes: "an HDF5 file", "a TIFF image", "a PNG image"; "a folder"; ""
/// for others and for what cannot be read.
std::string volume_format(const std::filesystem::path& file);

/// Behind "No such file": what to look at.
std::string missing_file_note(const std::filesystem::path& file);

}  // namespace tessera
