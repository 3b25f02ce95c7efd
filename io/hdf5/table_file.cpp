#include "io/hdf5/table_file.h"

#include <hdf5.h>

#include <algorithm>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/utf8_text.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_types.h"

namespace tessera {
namespace {

/// Creates one column, and sets its offset.
void create_column(hid_t file, TableColumn& column, const std::string& name) {
  const auto length = static_cast<hsize_t>(column.length);
  const Hdf5Handle space(check_hdf5(H5Screate_simple(1, &length, nullptr), "cannot shape " + name), H5Sclose);
  const Hdf5Handle creation(check_hdf5(H5Pcreate(H5P_DATASET_CREATE), "cannot create " + name), H5Pclose);
  check_hdf5(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "cannot ask for early allocation");
  check_hdf5(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "cannot switch off filling");
  const Hdf5Handle links(check_hdf5(H5Pcreate(H5P_LINK_CREATE), "cannot create links"), H5Pclose);
  check_hdf5(H5Pset_create_intermediate_group(links.get(), 1), "cannot create links");
  Hdf5Handle dataset(check_hdf5(H5Dcreate2(file, column.path.c_str(), hdf5_memory_type(column.type),
                                           space.get(), links.get(), creation.get(), H5P_DEFAULT),
                                "cannot create " + name),
                     H5Dclose);
  if (column.length > 0) {
    const haddr_t offset = H5Dget_offset(dataset.get());
    if (offset == HADDR_UNDEF) throw Error(name + " has no place in its file");
    column.offset = static_cast<std::int64_t>(offset);
  }
  if (!dataset.close()) throw Error("cannot finish " + name + ": " + take_hdf5_error());
}

}  // namespace

void create_table_file(const std::filesystem::path& file, std::vector<TableColumn>& columns,
                       const std::map<std::string, std::string>& attributes) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const std::string name = file.string();
  std::int64_t values = std::int64_t{1} << 20;  // the metadata
  for (const TableColumn& one : columns)
    values += one.length * size_of(one.type);
  require_free_space(file, values);
  Hdf5Handle made(
      check_hdf5(H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "cannot create " + name),
      H5Fclose);
  for (TableColumn& one : columns)
    create_column(made.get(), one, name + ":" + one.path);
  for (const auto& [key, value] : attributes)
    write_attribute(made.get(), key, shown_as_utf8(value));
  if (!made.close()) throw Error("cannot finish " + name + ": " + take_hdf5_error());
  std::int64_t end = static_cast<std::int64_t>(std::filesystem::file_size(file));
  for (const TableColumn& one : columns)
    end = std::max(end, one.length > 0 ? one.offset + one.length * size_of(one.type) : 0);
  reserve_space(file, end);
}

}  // namespace tessera
