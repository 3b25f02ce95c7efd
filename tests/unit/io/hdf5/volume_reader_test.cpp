#include "io/hdf5/volume_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <numeric>

#include "io/base/error.h"
#include "io/geometry/mirror.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/hdf5/created_dataset.h"
#include "tests/unit/io/voxel_numbers.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// Properties of a dataset of a test.
struct Stored {
  std::vector<hsize_t> dims;
  hid_t file_type = H5T_STD_U8LE;
  std::vector<hsize_t> chunk;
  bool compressed = false;
};

/// Writes `values`, or value i at the i-th voxel when it is empty.
void write_dataset(const fs::path& file, const Stored& stored, std::vector<double> values = {}) {
  const auto rank = static_cast<int>(stored.dims.size());
  const hsize_t count =
      std::accumulate(stored.dims.begin(), stored.dims.end(), hsize_t{1}, std::multiplies<>());
  if (values.empty()) {
    values.resize(count);
    std::iota(values.begin(), values.end(), 0.0);
  }
  Hdf5Handle opened = testing::create_file(file);
  Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (!stored.chunk.empty()) H5Pset_chunk(list.get(), rank, stored.chunk.data());
  if (stored.compressed) {
    H5Pset_shuffle(list.get());
    H5Pset_deflate(list.get(), 4);
  }
  Hdf5Handle dataset = testing::create_dataset(opened.get(), "v", stored.file_type, stored.dims, list.get());
  ASSERT_TRUE(dataset);
  if (count > 0) {
    ASSERT_GE(H5Dwrite(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  }
}

using testing::message_of;

std::string message_of_opening(const fs::path& file, const std::string& path = "/v") {
  return message_of([&] { VolumeReader({file, path}); });
}

TEST(VolumeReader, EveryTypeOfEitherByteOrder) {
  const testing::TemporaryFolder folder;
  const std::vector<std::pair<hid_t, VoxelType>> kinds{
      {H5T_STD_U8LE, VoxelType::uint8},     {H5T_STD_I8LE, VoxelType::uint8},
      {H5T_STD_U16LE, VoxelType::uint16},   {H5T_STD_U16BE, VoxelType::uint16},
      {H5T_STD_I16BE, VoxelType::uint16},   {H5T_STD_U32LE, VoxelType::uint32},
      {H5T_STD_I32BE, VoxelType::uint32},   {H5T_STD_U64LE, VoxelType::uint64},
      {H5T_STD_U64BE, VoxelType::uint64},   {H5T_IEEE_F32LE, VoxelType::float32},
      {H5T_IEEE_F32BE, VoxelType::float32}, {H5T_IEEE_F64LE, VoxelType::float32}};
  for (const auto& [stored, in_memory] : kinds) {
    write_dataset(folder / "a.h5", {{2, 3, 4}, stored, {}, false});
    VolumeReader reader({folder / "a.h5", "/v"});
    EXPECT_EQ(reader.info().type, in_memory);
    const VoxelBuffer buffer = reader.read({{1, 1, 1}, {2, 3, 3}});
    EXPECT_EQ(buffer.type, in_memory);
    EXPECT_THAT(testing::numbers_of(buffer), ElementsAre(17, 18, 21, 22));
  }
}

TEST(VolumeReader, WideValuesStayExact) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "a.h5", {{1, 1, 2}, H5T_STD_U16BE, {}, false}, {258, 65535});
  EXPECT_THAT(testing::numbers_of(VolumeReader({folder / "a.h5", "/v"}).read({{0, 0, 0}, {1, 1, 2}})),
              ElementsAre(258, 65535));
}

TEST(VolumeReader, NegativeValuesAreRejected) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "a.h5", {{1, 2, 2}, H5T_STD_I16LE, {}, false}, {5, 6, -1, 7});
  VolumeReader reader({folder / "a.h5", "/v"});
  EXPECT_THAT(testing::numbers_of(reader.read({{0, 0, 0}, {1, 1, 2}})), ElementsAre(5, 6));
  EXPECT_THAT(message_of([&] {
                reader.read({{0, 0, 0}, {1, 2, 2}});
              }),
              AllOf(HasSubstr("cannot read"), HasSubstr("a.h5:/v"), HasSubstr("negative")));
}

TEST(VolumeReader, TwoDimensionsAreOneSection) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "a.h5", {{3, 4}, H5T_STD_U8LE, {2, 2}, false});
  VolumeReader reader({folder / "a.h5", "/v"});
  EXPECT_EQ(reader.info().rank, 2);
  EXPECT_EQ(reader.info().shape, (Index3{1, 3, 4}));
  EXPECT_EQ(*reader.info().chunk, (Index3{1, 2, 2}));
  EXPECT_THAT(testing::numbers_of(reader.read({{0, 1, 2}, {1, 3, 4}})), ElementsAre(6, 7, 10, 11));
}

TEST(VolumeReader, FourDimensionsAreChannels) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "a.h5", {{2, 2, 2, 3}, H5T_STD_U8LE, {1, 2, 2, 2}, false});
  VolumeReader reader({folder / "a.h5", "/v"});
  EXPECT_EQ(reader.info().channels, 2);
  EXPECT_EQ(reader.info().chunk_channels, 1);
  EXPECT_EQ(reader.info().chunks_stored(), 2 * 1 * 1 * 2);
  const VoxelBuffer buffer = reader.read({{1, 0, 2}, {2, 2, 3}});
  EXPECT_EQ(buffer.channels, 2);
  EXPECT_THAT(testing::numbers_of(buffer), ElementsAre(8, 11, 20, 23));
}

TEST(VolumeReader, CompressedChunksAndTheirCount) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "a.h5", {{5, 7, 9}, H5T_STD_U16LE, {2, 4, 4}, true});
  VolumeReader reader({folder / "a.h5", "/v"});
  EXPECT_THAT(reader.info().filters, ElementsAre("shuffle", "gzip"));
  EXPECT_EQ(*reader.info().chunk, (Index3{2, 4, 4}));
  EXPECT_EQ(reader.info().chunks_stored(), 3 * 2 * 3);
  const std::vector<double> all = testing::numbers_of(reader.read(Box::of_shape({5, 7, 9})));
  ASSERT_EQ(all.size(), 315U);
  for (std::size_t i = 0; i < all.size(); ++i)
    ASSERT_EQ(all[i], static_cast<double>(i));
  EXPECT_EQ(reader.chunks_read(), 18);
  reader.read({{1, 3, 3}, {3, 5, 5}});  // straddles a chunk face on every axis
  EXPECT_EQ(reader.chunks_read(), 18 + 8);
}

TEST(VolumeReader, BoxesOutsideAreRejected) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "a.h5", {{2, 3, 4}, H5T_STD_U8LE, {}, false});
  VolumeReader reader({folder / "a.h5", "/v"});
  EXPECT_THAT(message_of([&] {
                reader.read({{0, 0, 0}, {2, 3, 5}});
              }),
              AllOf(HasSubstr("x [0, 5)"), HasSubstr("(2, 3, 4)")));
  EXPECT_THAT(message_of([&] { reader.read({{1, 1, 1}, {1, 2, 2}}); }), HasSubstr("cannot read"));
}

TEST(VolumeReader, FilesThatCannotBeOpenedAreReported) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "a.h5", {{2, 3, 4}, H5T_STD_U8LE, {}, false});
  EXPECT_THAT(message_of_opening(folder / "none.h5"), AllOf(HasSubstr("none.h5"), HasSubstr("No such file")));
  EXPECT_THAT(message_of_opening(folder / "a.h5", "/volumes/raw"),
              AllOf(HasSubstr("has no dataset /volumes/raw"), HasSubstr("tessera info")));
  EXPECT_THAT(message_of_opening(folder / "a.h5", "/"), HasSubstr("is not a dataset"));
  std::ofstream(folder / "text.h5") << "this is a text and no volume at all";
  EXPECT_THAT(message_of_opening(folder / "text.h5"), HasSubstr("is not an HDF5 file"));
  EXPECT_THAT(message_of_opening(folder.path()), HasSubstr("it is a folder"));
  fs::copy_file(folder / "a.h5", folder / "cut.h5");
  fs::resize_file(folder / "cut.h5", fs::file_size(folder / "cut.h5") / 2);
  EXPECT_THAT(message_of_opening(folder / "cut.h5"), AllOf(HasSubstr("cannot open"), HasSubstr("truncated")));
}

TEST(VolumeReader, UnfitDatasetsAreReported) {
  const testing::TemporaryFolder folder;
  write_dataset(folder / "empty.h5", {{2, 0, 4}, H5T_STD_U8LE, {}, false});
  EXPECT_THAT(message_of_opening(folder / "empty.h5"), HasSubstr("is empty"));
  write_dataset(folder / "line.h5", {{4}, H5T_STD_U8LE, {}, false});
  EXPECT_THAT(message_of_opening(folder / "line.h5"), HasSubstr("has 1 dimensions"));
  write_dataset(folder / "five.h5", {{1, 1, 1, 1, 4}, H5T_STD_U8LE, {}, false});
  EXPECT_THAT(message_of_opening(folder / "five.h5"), HasSubstr("has 5 dimensions"));
  testing::create_dataset(testing::create_file(folder / "text.h5").get(), "v", H5T_C_S1, {1, 1, 1});
  EXPECT_THAT(message_of_opening(folder / "text.h5"), HasSubstr("no volume"));
}

}  // namespace
}  // namespace tessera
