#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "io/volume/block_journal.h"
#include "io/volume/volume.h"

namespace tessera {

/// Describes the current state of a volume's files, under the name `what`: the named file, and the others
/// that hold voxels (of links, external storage, virtual datasets). Errors: Error.
void describe_files(const VolumeInfo& volume, const std::string& what, JobDescription& job);

/// Errors: UsageError when the result would be written into a file that an input is in, also through links or
/// as a source of a virtual dataset. `setting`: the name of the output's setting. `inputs`: volumes, and what
/// they are, such as "raw volume".
void require_own_file(const std::filesystem::path& output, const std::string& setting,
                      const std::vector<std::pair<const VolumeInfo*, std::string>>& inputs);

}  // namespace tessera
