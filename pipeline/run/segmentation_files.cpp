#include "pipeline/run/segmentation_files.h"

namespace tessera {

std::filesystem::path graph_folder_of(const std::filesystem::path& objects) {
  return std::filesystem::path(objects).replace_extension(".graph");
}

std::filesystem::path graph_file_of(const std::filesystem::path& objects) {
  return std::filesystem::path(objects).replace_extension(".graph.h5");
}

DatasetName supervoxels_of(const std::filesystem::path& objects) {
  return {std::filesystem::path(objects).replace_extension(".supervoxels.h5"), "/volumes/labels/supervoxels"};
}

}  // namespace tessera
