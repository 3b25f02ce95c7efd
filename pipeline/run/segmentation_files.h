#pragma once

#include <filesystem>

#include "io/volume/dataset_name.h"

namespace tessera {

/// The files beside a volume of objects. `objects`: its file, such as segmentation.h5.
std::filesystem::path graph_folder_of(const std::filesystem::path& objects);  ///< segmentation.graph
std::filesystem::path graph_file_of(const std::filesystem::path& objects);    ///< segmentation.graph.h5
/// segmentation.supervoxels.h5:/volumes/labels/supervoxels
DatasetName supervoxels_of(const std::filesystem::path& objects);

/// The attribute `meaning` of a volume of supervoxels that `segment` wrote.
inline constexpr const char* kSupervoxelMeaning = "ids of supervoxels; 0: none";

}  // namespace tessera
