#include "io/hdf5/graph_file.h"

#include <fmt/format.h>
#include <hdf5.h>

#include <array>
#include <initializer_list>
#include <optional>

#include "io/base/error.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_links.h"

namespace tessera {
namespace {

/// A dataset of one dimension and where its values go.
struct Column {
  const char* path;
  std::vector<std::uint64_t>* values;
  bool may_be_missing = false;
};

bool exists(hid_t file, const char* path) {
  const std::string group(path, std::string(path).rfind('/'));
  return hdf5_link_exists(file, group) && hdf5_link_exists(file, path);
}

std::vector<std::uint64_t> read_column(hid_t file, const std::filesystem::path& name, const char* path) {
  const std::string what = fmt::format("cannot read {} of {}", path, name.string());
  const Hdf5Handle dataset(check_hdf5(H5Dopen2(file, path, H5P_DEFAULT), what), H5Dclose);
  const Hdf5Handle type(check_hdf5(H5Dget_type(dataset.get()), what), H5Tclose);
  const Hdf5Handle space(check_hdf5(H5Dget_space(dataset.get()), what), H5Sclose);
  if (H5Tget_class(type.get()) != H5T_INTEGER || H5Sget_simple_extent_ndims(space.get()) != 1)
    throw Error(fmt::format("{}: it is no list of whole numbers (is the file damaged? make it again)", what));
  const auto count = static_cast<std::uint64_t>(check_hdf5(H5Sget_simple_extent_npoints(space.get()), what));
  const std::uint64_t stored = H5Dget_storage_size(dataset.get());
  // Compressed datasets of equal values can be small, but not as small as this.
  constexpr std::uint64_t kMostValuesPerByte = 1024;
  if (count > kMostValuesPerByte * stored)
    throw Error(fmt::format("{}: it has {} values in {} bytes (is the file damaged? make it again)", what,
                            count, stored));
  std::vector<std::uint64_t> values(count);
  if (count > 0)
    check_hdf5(H5Dread(dataset.get(), H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), what);
  return values;
}

/// Columns of one group, which are of one length.
void read_columns(hid_t file, const std::filesystem::path& name, std::initializer_list<Column> columns) {
  const Column* first = columns.begin();
  for (const Column& column : columns) {
    if (!exists(file, column.path)) {
      if (column.may_be_missing) continue;
      throw Error(
          fmt::format("{} has no {}: it is not the graph of a segmentation", name.string(), column.path));
    }
    *column.values = read_column(file, name, column.path);
    if (column.values->size() != first->values->size())
      throw Error(fmt::format("{}: {} has {} values, and {} has {} (is the file damaged? make it again)",
                              name.string(), first->path, first->values->size(), column.path,
                              column.values->size()));
  }
}

}  // namespace

GraphFile read_graph_file(const std::filesystem::path& file, bool with_bundles) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const Hdf5Handle open = open_hdf5_file(file);
  GraphFile graph;
  read_columns(open.get(), file,
               {{"/supervoxels/id", &graph.supervoxel_id}, {"/supervoxels/size", &graph.supervoxel_size}});
  if (with_bundles) {
    read_columns(open.get(), file,
                 {{"/bundles/a", &graph.bundle_a},
                  {"/bundles/b", &graph.bundle_b},
                  {"/bundles/sum", &graph.bundle_sum},
                  {"/bundles/count", &graph.bundle_count},
                  {"/bundles/saddle", &graph.bundle_saddle},
                  {"/bundles/edge", &graph.bundle_edge, true}});
  }
  read_columns(open.get(), file,
               {{"/tree/id", &graph.tree_id},
                {"/tree/into", &graph.tree_into},
                {"/tree/stage", &graph.tree_stage},
                {"/tree/sum", &graph.tree_sum, true},
                {"/tree/count", &graph.tree_count, true}});
  graph.attributes = read_string_attributes(open.get());
  return graph;
}

std::vector<std::uint64_t> read_object_sizes(const std::filesystem::path& file) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const Hdf5Handle open = open_hdf5_file(file);
  std::vector<std::uint64_t> sizes;
  read_columns(open.get(), file, {{"/objects/size", &sizes}});
  return sizes;
}

}  // namespace tessera
