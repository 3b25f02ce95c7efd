#include "io/hdf5/block_reader.h"

#include <fmt/format.h>

#include <array>

#include "io/base/error.h"

namespace tessera {

BlockReader::BlockReader(const DatasetName& name) : name_(name), file_(open_hdf5_file(name.file)) {
  // Each block is read once: no chunk needs to stay in memory.
  const std::string what = "cannot open " + name.text();
  Hdf5Handle access_list(check_hdf5(H5Pcreate(H5P_DATASET_ACCESS), what), H5Pclose);
  check_hdf5(H5Pset_chunk_cache(access_list.get(), 1009, 0, H5D_CHUNK_CACHE_W0_DEFAULT), what);
  dataset_ = Hdf5Handle(
      check_hdf5(H5Dopen2(file_.get(), name.path.c_str(), access_list.get()), "cannot open " + name.text()),
      H5Dclose);
  type_ =
      Hdf5Handle(check_hdf5(H5Dget_type(dataset_.get()), "cannot read the type of " + name.text()), H5Tclose);
  Hdf5Handle space(check_hdf5(H5Dget_space(dataset_.get()), what), H5Sclose);
  rank_ = static_cast<int>(check_hdf5(H5Sget_simple_extent_ndims(space.get()), what));
  if (rank_ != 3 && rank_ != 4)
    throw Error(fmt::format("{} has {} dimensions: no result", name.text(), rank_));
  std::array<hsize_t, 4> dims{};
  check_hdf5(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), what);
  if (rank_ == 4) channels_ = dims[0];
}

std::vector<std::byte> BlockReader::read(const Box& box) const {
  // A thread-safe HDF5 library has this setting per thread, and another thread may have opened the file.
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const auto size = [](std::int64_t value) { return static_cast<hsize_t>(value); };
  const Index3 shape = box.shape();
  const std::array<hsize_t, 4> start{0, size(box.begin.z), size(box.begin.y), size(box.begin.x)};
  const std::array<hsize_t, 4> count{channels_, size(shape.z), size(shape.y), size(shape.x)};
  const std::size_t skip = rank_ == 4 ? 0 : 1;
  const std::string what = fmt::format("cannot read {} of {}", to_string(box), name_.text());
  Hdf5Handle file_space(check_hdf5(H5Dget_space(dataset_.get()), what), H5Sclose);
  check_hdf5(H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data() + skip, nullptr,
                                 count.data() + skip, nullptr),
             what);
  Hdf5Handle memory_space(check_hdf5(H5Screate_simple(rank_, count.data() + skip, nullptr), what), H5Sclose);
  std::vector<std::byte> bytes(channels_ * static_cast<std::size_t>(box.voxels()) *
                               check_hdf5_size(H5Tget_size(type_.get()), what));
  check_hdf5(
      H5Dread(dataset_.get(), type_.get(), memory_space.get(), file_space.get(), H5P_DEFAULT, bytes.data()),
      what);
  return bytes;
}

}  // namespace tessera
