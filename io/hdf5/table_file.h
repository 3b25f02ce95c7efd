#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/geometry/voxel_type.h"

namespace tessera {

/// A dataset of one dimension, whose values lie in the file one behind the other.
struct TableColumn {
  std::string path;  ///< in the file
  VoxelType type = VoxelType::uint64;
  std::int64_t length = 0;
  std::int64_t offset = 0;  ///< of the first value in the file, in bytes; not meaningful without values
};

/// Creates an HDF5 file of tables, with disk space for every value, and sets the columns' offsets. Afterwards
/// several processes can write values by pwrite. `attributes`: of the file. Errors: Error.
void create_table_file(const std::filesystem::path& file, std::vector<TableColumn>& columns,
                       const std::map<std::string, std::string>& attributes);

}  // namespace tessera
