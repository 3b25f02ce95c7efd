/// Labels are read as whole numbers of the whole range of 64 bits.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "io/base/error.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/stores/open_volume.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/hdf5/created_dataset.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

template <class T>
DatasetName write_labels(const std::filesystem::path& file, hid_t stored, hid_t memory,
                         const std::vector<T>& values) {
  const Hdf5Handle opened = testing::create_file(file);
  const Hdf5Handle dataset = testing::create_dataset(opened.get(), "v", stored, {1, 1, values.size()});
  EXPECT_GE(H5Dwrite(dataset.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  return {file, "/v"};
}

std::vector<std::uint64_t> ids_of(const DatasetName& name) {
  const std::unique_ptr<Volume> labels = open_labels(name);
  const VoxelBuffer voxels = labels->read(Box::of_shape(labels->info().shape));
  EXPECT_EQ(voxels.type, VoxelType::uint64);
  const auto ids = voxels.as<std::uint64_t>();
  return {ids.begin(), ids.end()};
}

constexpr std::uint64_t kLargest = 0xffffffffffffffff;

TEST(Labels, LargeAndNegativeIdsAreExact) {
  const testing::TemporaryFolder folder;
  const std::vector<std::uint64_t> large{kLargest, (1ULL << 53) + 1, 0};
  EXPECT_EQ(ids_of(write_labels(folder / "a.h5", H5T_STD_U64BE, H5T_NATIVE_UINT64, large)), large);
  for (const hid_t stored : {H5T_STD_I8LE, H5T_STD_I16BE, H5T_STD_I32LE, H5T_STD_I64LE}) {
    EXPECT_THAT(ids_of(write_labels<std::int64_t>(folder / "a.h5", stored, H5T_NATIVE_INT64, {-1, -128, 5})),
                ElementsAre(kLargest, kLargest - 127, 5));
  }
}

TEST(Labels, WholeNumbersInFloatingPointAreIds) {
  const testing::TemporaryFolder folder;
  for (const hid_t stored : {H5T_IEEE_F32LE, H5T_IEEE_F64BE}) {
    EXPECT_THAT(
        ids_of(write_labels<double>(folder / "a.h5", stored, H5T_NATIVE_DOUBLE, {0, 65537, 16777216, -1})),
        ElementsAre(0, 65537, 16777216, kLargest));
  }
  for (const double wrong : {0.5, 1e300, -1e300, std::nan("")}) {
    const DatasetName name =
        write_labels<double>(folder / "a.h5", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, {1, wrong});
    EXPECT_THAT(message_of([&] { ids_of(name); }), AllOf(HasSubstr("a.h5:/v"), HasSubstr("whole numbers")))
        << wrong;
  }
}

TEST(Labels, UnsignedLabelsKeepTheirType) {
  const testing::TemporaryFolder folder;
  const DatasetName name =
      write_labels<double>(folder / "a.h5", H5T_STD_U16BE, H5T_NATIVE_DOUBLE, {1, 65535});
  EXPECT_EQ(read_labels_info(name).type, VoxelType::uint16);
  EXPECT_EQ(read_volume_info(name).type, VoxelType::uint16);
}

/// An enumeration over int8, such as h5py's bool, with two members.
DatasetName write_enumeration(const std::filesystem::path& file, std::int8_t first, std::int8_t second) {
  const Hdf5Handle type(H5Tenum_create(H5T_STD_I8LE), H5Tclose);
  H5Tenum_insert(type.get(), "FIRST", &first);
  H5Tenum_insert(type.get(), "SECOND", &second);
  return write_labels<std::int8_t>(file, type.get(), type.get(), {first, second});
}

TEST(Labels, EnumerationsAreTheirIntegers) {
  const testing::TemporaryFolder folder;
  const DatasetName boolean = write_enumeration(folder / "a.h5", 0, 1);
  EXPECT_EQ(read_labels_info(boolean).type, VoxelType::uint8);
  const std::unique_ptr<Volume> labels = open_labels(boolean);
  EXPECT_THAT(labels->read({{0, 0, 0}, {1, 1, 2}}).as<std::uint8_t>(), ElementsAre(0, 1));
  const DatasetName signed_one = write_enumeration(folder / "b.h5", -1, 1);
  EXPECT_THAT(ids_of(signed_one), ElementsAre(kLargest, 1));
  EXPECT_THAT(message_of([&] {
                open_volume(signed_one)->read({{0, 0, 0}, {1, 1, 2}});
              }),
              HasSubstr("holds negative values; raw volumes are unsigned"));
}

TEST(Labels, BitFieldsAreUnsignedIntegers) {
  const testing::TemporaryFolder folder;
  const DatasetName name =
      write_labels<std::uint16_t>(folder / "a.h5", H5T_STD_B16BE, H5T_NATIVE_B16, {1, 65535});
  const std::unique_ptr<Volume> labels = open_labels(name);
  EXPECT_THAT(labels->read({{0, 0, 0}, {1, 1, 2}}).as<std::uint16_t>(), ElementsAre(1, 65535));
}

TEST(Values, BeyondTheTypeInMemoryAreErrors) {
  const testing::TemporaryFolder folder;
  const DatasetName wide =
      write_labels<double>(folder / "a.h5", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, {1, 1e300});
  EXPECT_THAT(message_of([&] {
                open_volume(wide)->read({{0, 0, 0}, {1, 1, 2}});
              }),
              HasSubstr("float32 cannot hold its 64-bit value 1.0000000000000001e+300"));
}

/// Ids in float64 are not rounded to float32 without a word; fractions, infinities and ids that fit are read.
TEST(Values, IdsThatFloat32WouldRoundAreErrors) {
  const testing::TemporaryFolder folder;
  const auto read = [&](const char* file, const std::vector<double>& values) {
    const DatasetName name = write_labels<double>(folder / file, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, values);
    const VoxelBuffer voxels = open_volume(name)->read({{0, 0, 0}, {1, 1, 2}});
    return std::vector<float>(voxels.as<float>().begin(), voxels.as<float>().end());
  };
  EXPECT_THAT(message_of([&] { read("ids.h5", {16777216, 16777217}); }), HasSubstr("16777217"));
  EXPECT_EQ(read("fits.h5", {16777216, -16777218}), (std::vector<float>{16777216, -16777218}));
  EXPECT_EQ(read("real.h5", {0.1, 1e30}), (std::vector<float>{0.1F, 1e30F}));
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(read("infinite.h5", {infinity, 3}),
            (std::vector<float>{std::numeric_limits<float>::infinity(), 3}));
}

}  // namespace
}  // namespace tessera
