/// Every kind of storage and of stored number that the reader takes, against the numbers that were written.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <functional>
#include <numeric>

#include "io/base/error.h"
#include "io/hdf5/volume_reader.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/hdf5/created_dataset.h"
#include "tests/unit/io/voxel_numbers.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
namespace fs = std::filesystem;

const std::vector<hsize_t> kDims{5, 23, 30};
constexpr std::array<hsize_t, 3> kChunk{2, 8, 16};
const Index3 kShape{5, 23, 30};

/// A type in the file; its values are 0 to `largest`.
struct StoredType {
  const char* name;
  hid_t type;
  VoxelType in_memory;
  double largest;
};

hid_t bool_type() {
  static const hid_t type = [] {
    const hid_t made = H5Tenum_create(H5T_STD_I8LE);  // as h5py does
    for (const std::int8_t value : {0, 1})
      H5Tenum_insert(made, value == 0 ? "FALSE" : "TRUE", &value);
    return made;
  }();
  return type;
}

hid_t twelve_bits() {
  static const hid_t type = [] {
    const hid_t made = H5Tcopy(H5T_STD_U16BE);
    H5Tset_precision(made, 12);
    H5Tset_offset(made, 3);
    return made;
  }();
  return type;
}

hid_t three_bytes() {
  static const hid_t type = [] {
    const hid_t made = H5Tcopy(H5T_STD_U32LE);
    H5Tset_precision(made, 24);
    H5Tset_size(made, 3);
    return made;
  }();
  return type;
}

std::vector<StoredType> stored_types() {
  return {{"u8", H5T_STD_U8LE, VoxelType::uint8, 255},
          {"i8", H5T_STD_I8LE, VoxelType::uint8, 127},
          {"u16", H5T_STD_U16LE, VoxelType::uint16, 65535},
          {"i16be", H5T_STD_I16BE, VoxelType::uint16, 32767},
          {"u12", twelve_bits(), VoxelType::uint16, 4095},
          {"u24", three_bytes(), VoxelType::uint32, 16777215},
          {"u32", H5T_STD_U32LE, VoxelType::uint32, 4294967295.0},
          {"u64be", H5T_STD_U64BE, VoxelType::uint64, 9007199254740991.0},
          {"bool", bool_type(), VoxelType::uint8, 1},
          {"f32", H5T_IEEE_F32LE, VoxelType::float32, 1000},
          {"f64be", H5T_IEEE_F64BE, VoxelType::float32, 1000}};
}

/// How the values lie in the file. `prepare` sets the creation list.
struct Storage {
  const char* name;
  std::function<void(hid_t list)> prepare;
  bool integers_only = false;
};

void chunked(hid_t list) {
  H5Pset_chunk(list, 3, kChunk.data());
}

std::vector<Storage> storages() {
  return {{"contiguous", [](hid_t) {}},
          {"compact", [](hid_t list) { H5Pset_layout(list, H5D_COMPACT); }},
          {"chunked", chunked},
          {"gzip",
           [](hid_t list) {
             chunked(list);
             H5Pset_deflate(list, 4);
           }},
          {"shuffled gzip",
           [](hid_t list) {
             chunked(list);
             H5Pset_shuffle(list);
             H5Pset_deflate(list, 4);
           }},
          {"gzip, then shuffled",
           [](hid_t list) {
             chunked(list);
             H5Pset_deflate(list, 4);
             H5Pset_shuffle(list);
           }},
          {"gzip twice",
           [](hid_t list) {
             chunked(list);
             H5Pset_deflate(list, 4);
             H5Pset_deflate(list, 4);
           }},
          {"checksums",
           [](hid_t list) {
             chunked(list);
             H5Pset_deflate(list, 4);
             H5Pset_fletcher32(list);
           }},
          {"scale and offset",
           [](hid_t list) {
             chunked(list);
             H5Pset_scaleoffset(list, H5Z_SO_INT, H5Z_SO_INT_MINBITS_DEFAULT);
           },
           true},
          {"only the precision",
           [](hid_t list) {
             chunked(list);
             H5Pset_nbit(list);
           }},
          {"edge chunks without filter", [](hid_t list) {
             chunked(list);
             H5Pset_shuffle(list);
             H5Pset_deflate(list, 4);
             H5Pset_chunk_opts(list, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
           }}};
}

std::vector<double> values_of(const StoredType& type) {
  std::vector<double> values(kDims[0] * kDims[1] * kDims[2]);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = std::fmod(static_cast<double>(i * 7919), type.largest + 1);
  values.back() = type.largest;
  return values;
}

void write_values(hid_t group, const char* name, const StoredType& type, hid_t creation_list,
                  const std::vector<double>& values) {
  const Hdf5Handle dataset = testing::create_dataset(group, name, type.type, kDims, creation_list);
  ASSERT_TRUE(dataset) << name << " of " << type.name;
  if (H5Tget_class(type.type) == H5T_ENUM) {
    const std::vector<std::int8_t> small(values.begin(), values.end());
    ASSERT_GE(H5Dwrite(dataset.get(), type.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, small.data()), 0);
  } else {
    ASSERT_GE(H5Dwrite(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  }
}

Hdf5Handle new_file(const fs::path& file) {
  Hdf5Handle access_list(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access_list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110);
  return {H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access_list.get()), H5Fclose};
}

/// Compares the volume, whole and in a part, with `values`.
void expect_values(const DatasetName& name, const StoredType& type, const std::vector<double>& values,
                   const std::string& what) {
  for (const int threads : {0, 3}) {
    VolumeReader reader(name, {.unpack_threads = threads});
    EXPECT_EQ(reader.info().type, type.in_memory) << what;
    EXPECT_EQ(testing::numbers_of(reader.read(Box::of_shape(kShape))), values) << what;
    const Box part{{3, 15, 14}, {5, 23, 30}};
    const std::vector<double> read = testing::numbers_of(reader.read(part));
    std::size_t i = 0;
    for (std::int64_t z = part.begin.z; z < part.end.z; ++z) {
      for (std::int64_t y = part.begin.y; y < part.end.y; ++y) {
        for (std::int64_t x = part.begin.x; x < part.end.x; ++x)
          ASSERT_EQ(read[i++], values[static_cast<std::size_t>((z * 23 + y) * 30 + x)]) << what;
      }
    }
  }
}

TEST(StoredKinds, EveryStorageOfEveryTypeIsReadAsItWasWritten) {
  const testing::TemporaryFolder folder;
  int compared = 0;
  for (const Storage& storage : storages()) {
    for (const StoredType& type : stored_types()) {
      // The library's filter of scale and offset takes only the usual integers.
      if (storage.integers_only && (H5Tget_class(type.type) != H5T_INTEGER || H5Tget_size(type.type) == 3))
        continue;
      const std::string what = std::string(storage.name) + " of " + type.name;
      const DatasetName name{folder / "a.h5", "/v"};
      const std::vector<double> values = values_of(type);
      {
        const Hdf5Handle file = new_file(name.file);
        const Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
        storage.prepare(list.get());
        write_values(file.get(), "v", type, list.get(), values);
      }
      expect_values(name, type, values, what);
      ++compared;
    }
  }
  EXPECT_GE(compared, 100);
}

TEST(StoredKinds, ExternalFilesLinksAndVirtualSourcesAreReadAsTheyWereWritten) {
  const testing::TemporaryFolder folder;
  for (const StoredType& type : stored_types()) {
    const std::vector<double> values = values_of(type);
    const std::size_t half = values.size() * H5Tget_size(type.type) / 2;
    {
      const Hdf5Handle file = new_file(folder / "external.h5");
      const Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
      H5Pset_external(list.get(), (folder / "first.bin").c_str(), 0, half);
      H5Pset_external(list.get(), (folder / "second.bin").c_str(), 16, H5F_UNLIMITED);
      fs::remove(folder / "first.bin");
      fs::remove(folder / "second.bin");
      write_values(file.get(), "v", type, list.get(), values);
      H5Lcreate_soft("/v", file.get(), "soft", H5P_DEFAULT, H5P_DEFAULT);
    }
    expect_values({folder / "external.h5", "/v"}, type, values, std::string("external ") + type.name);
    {
      const Hdf5Handle file = new_file(folder / "links.h5");
      H5Lcreate_external("external.h5", "/soft", file.get(), "v", H5P_DEFAULT, H5P_DEFAULT);
      const Hdf5Handle space(H5Screate_simple(3, kDims.data(), nullptr), H5Sclose);
      const Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
      for (hsize_t z = 0; z < kDims[0]; ++z) {
        const std::array<hsize_t, 3> start{z, 0, 0}, count{1, kDims[1], kDims[2]};
        H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
        H5Pset_virtual(list.get(), space.get(), z % 2 == 0 ? "external.h5" : "./external.h5", "/soft",
                       space.get());
      }
      H5Sselect_all(space.get());
      const Hdf5Handle dataset(
          H5Dcreate2(file.get(), "all", type.type, space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT),
          H5Dclose);
      ASSERT_TRUE(dataset);
    }
    expect_values({folder / "links.h5", "/v"}, type, values, std::string("linked ") + type.name);
    expect_values({folder / "links.h5", "/all"}, type, values, std::string("virtual ") + type.name);
    EXPECT_THAT(
        VolumeReader({folder / "links.h5", "/all"}).info().files,
        ::testing::ElementsAre(fs::canonical(folder / "external.h5"), fs::canonical(folder / "first.bin"),
                               fs::canonical(folder / "links.h5"), fs::canonical(folder / "second.bin")));
  }
}

/// A virtual dataset of sections: section z is /v of `source_<z>.h5`.
void write_virtual_sections(const testing::TemporaryFolder& folder, const std::string& pattern) {
  const StoredType type = stored_types().front();
  const Hdf5Handle whole(H5Screate_simple(3, kDims.data(), nullptr), H5Sclose);
  const Hdf5Handle section(H5Screate_simple(2, kDims.data() + 1, nullptr), H5Sclose);
  const Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  for (hsize_t z = 0; z < kDims[0]; ++z) {
    const std::string name = "source_" + std::to_string(z) + ".h5";
    const Hdf5Handle source = new_file(folder / name);
    const Hdf5Handle dataset = testing::create_dataset(source.get(), "v", type.type, {kDims[1], kDims[2]});
    const std::array<hsize_t, 3> start{z, 0, 0}, count{1, kDims[1], kDims[2]};
    H5Sselect_hyperslab(whole.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
    if (pattern.empty()) H5Pset_virtual(list.get(), whole.get(), name.c_str(), "/v", section.get());
  }
  if (!pattern.empty()) {
    const std::array<hsize_t, 3> start{0, 0, 0}, stride{1, 1, 1}, count{H5S_UNLIMITED, 1, 1},
        block{1, kDims[1], kDims[2]};
    const std::array<hsize_t, 3> most{H5S_UNLIMITED, kDims[1], kDims[2]};
    const Hdf5Handle growing(H5Screate_simple(3, kDims.data(), most.data()), H5Sclose);
    H5Sselect_hyperslab(growing.get(), H5S_SELECT_SET, start.data(), stride.data(), count.data(),
                        block.data());
    H5Pset_virtual(list.get(), growing.get(), pattern.c_str(), "/v", section.get());
  }
  const Hdf5Handle file = new_file(folder / "all.h5");
  const std::array<hsize_t, 3> most{pattern.empty() ? kDims[0] : H5S_UNLIMITED, kDims[1], kDims[2]};
  const Hdf5Handle space(H5Screate_simple(3, kDims.data(), most.data()), H5Sclose);
  const Hdf5Handle dataset(
      H5Dcreate2(file.get(), "v", type.type, space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT), H5Dclose);
  ASSERT_TRUE(dataset);
}

std::string message_of_opening(const DatasetName& name) {
  return message_of([&] { VolumeReader{name}; });
}

TEST(StoredKinds, AVirtualDatasetNeedsAllItsSources) {
  const testing::TemporaryFolder folder;
  const DatasetName name{folder / "all.h5", "/v"};
  write_virtual_sections(folder, "");
  EXPECT_EQ(VolumeReader(name).info().files.size(), kDims[0] + 1);
  fs::rename(folder / "source_2.h5", folder / "away.h5");
  EXPECT_THAT(message_of_opening(name), AllOf(HasSubstr("all.h5:/v takes voxels from source_2.h5:/v"),
                                              HasSubstr("source_2.h5 does not exist"), HasSubstr("missing")));
  std::ofstream(folder / "source_2.h5") << "no HDF5 file";
  EXPECT_THAT(message_of_opening(name), HasSubstr("source_2.h5 is not an HDF5 file"));
  new_file(folder / "source_2.h5");
  EXPECT_THAT(message_of_opening(name), HasSubstr("source_2.h5:/v, which is not in that file"));
  {
    const Hdf5Handle file = new_file(folder / "source_2.h5"), list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    write_values(file.get(), "v", stored_types().front(), list.get(), values_of(stored_types().front()));
  }
  EXPECT_THAT(message_of_opening(name), HasSubstr("has the shape (5, 23, 30), but 690 values are taken"));
}

TEST(StoredKinds, NumberedSourcesAreNeededAsFarAsTheShapeReaches) {
  const testing::TemporaryFolder folder;
  const DatasetName name{folder / "all.h5", "/v"};
  write_virtual_sections(folder, "source_%b.h5");
  EXPECT_EQ(VolumeReader(name).info().shape.z, 5);
  EXPECT_EQ(VolumeReader(name).info().files.size(), kDims[0] + 1);
}

TEST(StoredKinds, ExternalFilesThatEndEarlyAreReported) {
  const testing::TemporaryFolder folder;
  const StoredType type = stored_types().front();
  const DatasetName name{folder / "a.h5", "/v"};
  {
    const Hdf5Handle file = new_file(name.file), list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_external(list.get(), (folder / "v.bin").c_str(), 100, H5F_UNLIMITED);
    write_values(file.get(), "v", type, list.get(), values_of(type));
  }
  VolumeReader{name};
  fs::resize_file(folder / "v.bin", 100 + 3449);
  EXPECT_THAT(message_of_opening(name),
              AllOf(HasSubstr("3450 bytes of voxels from byte 100 of"), HasSubstr("which has 3549 bytes")));
  fs::remove(folder / "v.bin");
  EXPECT_THAT(message_of_opening(name), AllOf(HasSubstr("v.bin"), HasSubstr("No such file")));
}

TEST(StoredKinds, AMissingFilterIsNamed) {
  const testing::TemporaryFolder folder;
  const DatasetName name{folder / "a.h5", "/v"};
  {
    // An optional filter that is not there is left out by the writer, as h5py's lzf in another program.
    const Hdf5Handle file = new_file(name.file), list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    chunked(list.get());
    H5Pset_filter(list.get(), 32000, H5Z_FLAG_OPTIONAL, 0, nullptr);
    write_values(file.get(), "v", stored_types().front(), list.get(), values_of(stored_types().front()));
  }
  EXPECT_THAT(message_of_opening(name), AllOf(HasSubstr("a.h5:/v is stored with the filter lzf"),
                                              HasSubstr("32000"), HasSubstr("HDF5_PLUGIN_PATH")));
}

TEST(StoredKinds, LinksThatLeadNowhereAreExplained) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "em.h5";
  {
    const Hdf5Handle opened = new_file(file), list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    write_values(opened.get(), "raw", stored_types().front(), list.get(), values_of(stored_types().front()));
    H5Lcreate_external("gone.h5", "/raw", opened.get(), "away", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("em.h5", "/none", opened.get(), "inside", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nothing", opened.get(), "dangling", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/circle", opened.get(), "circle", H5P_DEFAULT, H5P_DEFAULT);
  }
  EXPECT_THAT(message_of_opening({file, "/away"}),
              AllOf(HasSubstr("has no dataset /away: /away is a link to gone.h5:/raw"),
                    HasSubstr("the file gone.h5 does not exist")));
  EXPECT_THAT(message_of_opening({file, "/inside"}), HasSubstr("which does not exist in that file"));
  EXPECT_THAT(message_of_opening({file, "/dangling"}),
              HasSubstr("is a link to /nothing, which does not exist"));
  EXPECT_THAT(message_of_opening({file, "/circle"}), HasSubstr("a circle?"));
  EXPECT_THAT(message_of_opening({file, "/raw/x"}), HasSubstr("/raw is a dataset"));
  EXPECT_THAT(message_of_opening({file, "/none"}), HasSubstr("has no dataset /none ("));
}

TEST(StoredKinds, ChunksThatAreNotStoredHaveTheFillValue) {
  const testing::TemporaryFolder folder;
  for (const bool filtered : {false, true}) {
    const DatasetName name{folder / "a.h5", "/v"};
    {
      const Hdf5Handle file = new_file(name.file), list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
      chunked(list.get());
      if (filtered) H5Pset_deflate(list.get(), 4);
      const std::uint16_t fill = 700;
      H5Pset_fill_value(list.get(), H5T_NATIVE_UINT16, &fill);
      const Hdf5Handle dataset = testing::create_dataset(file.get(), "v", H5T_STD_U16LE, kDims, list.get());
      ASSERT_TRUE(dataset);
    }
    for (const int threads : {0, 3}) {
      VolumeReader reader(name, {.unpack_threads = threads});
      EXPECT_EQ(testing::numbers_of(reader.read(Box::of_shape(kShape))),
                std::vector<double>(kDims[0] * kDims[1] * kDims[2], 700));
    }
  }
}

}  // namespace
}  // namespace tessera
