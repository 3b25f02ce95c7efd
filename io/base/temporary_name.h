#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

/// A name beside `target` that no other process and no other call gives: `NAME~PROCESS-N.tmp`, where PROCESS
/// is this process (see text_of(ProcessId)). A long NAME is shortened to the 255 bytes of a file name.
std::filesystem::path temporary_name(const std::filesystem::path& target);

/// The files and folders with temporary names beside `target` whose processes have ended; of those of other
/// hosts the ones that nothing was written to for a day.
std::vector<std::filesystem::path> stale_temporaries(const std::filesystem::path& target);
/// All of them, also of processes that run. Errors: Error when the folder cannot be listed.
std::vector<std::filesystem::path> all_temporaries(const std::filesystem::path& target);
/// Removes the stale ones. What cannot be removed stays.
void remove_stale_temporaries(const std::filesystem::path& target);

/// As remove_stale_temporaries(), for the targets of all names in `folder`, but not in folders below it.
void remove_stale_temporaries_in(const std::filesystem::path& folder);

/// `NAME`, or its beginning and a checksum when it is longer than `bytes`.
std::string shortened_name(const std::string& name, std::size_t bytes);

/// The place that a write to `file` changes: follows symbolic links at the end of the path, also dangling
/// ones. Errors: Error for a loop, and for a link to a folder that does not exist.
std::filesystem::path resolve_links(const std::filesystem::path& file);

}  // namespace tessera
