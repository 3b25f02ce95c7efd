#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tessera {

/// The graph of a segmentation's supervoxels and the tree of their merges, as in `NAME.graph.h5`
/// (docs/agglomeration.md). Arrays of one group have one length.
struct GraphFile {
  // /supervoxels, by rising id
  std::vector<std::uint64_t> supervoxel_id, supervoxel_size;
  // /bundles: row numbers of supervoxels, sums and numbers of weights, the largest weights; empty when not
  // wanted
  std::vector<std::uint64_t> bundle_a, bundle_b, bundle_sum, bundle_count, bundle_saddle;
  std::vector<std::uint64_t> bundle_edge;  ///< empty where the file has none
  // /tree, by rising id
  std::vector<std::uint64_t> tree_id, tree_into, tree_stage;
  /// The linkage of each merge as a fraction on the scale of weights: the merges can then be cut at any
  /// threshold. Empty where the file has none.
  std::vector<std::uint64_t> tree_sum, tree_count;
  std::map<std::string, std::string> attributes;  ///< every string attribute of the root, such as `stages`
};

/// Reads such a file. Errors: Error when it is missing, no such file, or damaged: a dataset is missing, has
/// not one dimension of whole numbers, or another length than those beside it.
GraphFile read_graph_file(const std::filesystem::path& file, bool with_bundles = true);

/// The voxels of each object, as in `/objects/size`. Errors: as read_graph_file().
std::vector<std::uint64_t> read_object_sizes(const std::filesystem::path& file);

}  // namespace tessera
