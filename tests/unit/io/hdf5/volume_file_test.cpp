#include "io/hdf5/volume_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "io/hdf5/volume_reader.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

VolumeSpec spec_of(const std::string& path, VoxelType type, const Index3& shape, int gzip = 0) {
  VolumeSpec spec;
  spec.path = path;
  spec.type = type;
  spec.shape = shape;
  spec.chunk = {2, 16, 16};
  spec.gzip = gzip;
  return spec;
}

VoxelBuffer counting(VoxelType type, const Index3& shape, int first = 0) {
  VoxelBuffer buffer(type, shape);
  with_voxel_type(type, [&](auto zero) {
    auto values = buffer.as<decltype(zero)>();
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<decltype(zero)>(static_cast<std::size_t>(first) + i);
  });
  return buffer;
}

void write_volume(const fs::path& file, const VolumeSpec& spec, bool keep, bool replace, int first = 0) {
  VolumeFile volume(file, keep);
  volume.add(spec, replace);
  volume.write_sections(spec.path, 0, counting(spec.type, spec.shape, first));
  volume.commit();
}

TEST(VolumeFile, EveryTypeComesBackWithItsAttributes) {
  const testing::TemporaryFolder folder;
  for (const VoxelType type :
       {VoxelType::uint8, VoxelType::uint16, VoxelType::uint32, VoxelType::uint64, VoxelType::float32}) {
    for (const int gzip : {0, 3}) {
      VolumeSpec spec = spec_of("/volumes/raw", type, {5, 20, 10}, gzip);
      spec.resolution_nm = {50, 4, 4};
      spec.offset_nm = {0, -40, 12.5};
      spec.attributes = {{"generator", "a test"}, {"empty", ""}, {"long", std::string(70'000, 'x')}};
      VolumeFile file(folder / "a.h5", false);
      file.add(spec, false);
      const VoxelBuffer whole = counting(type, spec.shape);
      for (std::int64_t z = 4; z >= 0; z -= 2) {  // in any order
        VoxelBuffer slab(type, {std::min<std::int64_t>(2, 5 - z), 20, 10});
        std::memcpy(slab.bytes.data(), whole.bytes.data() + z * 200 * size_of(type), slab.bytes.size());
        file.write_sections(spec.path, z, slab);
      }
      EXPECT_EQ(fs::exists(folder / "a.h5"), type != VoxelType::uint8 || gzip != 0)
          << "in place before commit()";
      file.commit();
      VolumeReader reader({folder / "a.h5", "/volumes/raw"});
      EXPECT_EQ(reader.info().type, type);
      EXPECT_EQ(reader.info().shape, spec.shape);
      EXPECT_EQ(*reader.info().chunk, (Index3{2, 16, 10})) << "clipped to the shape";
      EXPECT_EQ(reader.info().filters.size(), gzip > 0 ? 2U : 0U);
      EXPECT_THAT(reader.info().resolution_nm, ElementsAre(50, 4, 4));
      EXPECT_THAT(reader.info().offset_nm, ElementsAre(0, -40, 12.5));
      EXPECT_EQ(reader.info().attributes, spec.attributes);
      EXPECT_EQ(reader.read(Box::of_shape(spec.shape)).bytes, whole.bytes);
    }
  }
  EXPECT_EQ(folder.entries(), 1);
}

TEST(VolumeFile, KeepsWhatTheFileHolds) {
  const testing::TemporaryFolder folder;
  write_volume(folder / "a.h5", spec_of("/one", VoxelType::uint8, {1, 4, 4}), true, false, 10);
  write_volume(folder / "a.h5", spec_of("/two", VoxelType::uint8, {1, 4, 4}), true, false, 20);
  EXPECT_EQ(VolumeReader({folder / "a.h5", "/one"}).read(Box::of_shape({1, 4, 4})).as<std::uint8_t>()[0], 10);
  EXPECT_EQ(VolumeReader({folder / "a.h5", "/two"}).read(Box::of_shape({1, 4, 4})).as<std::uint8_t>()[0], 20);
  write_volume(folder / "a.h5", spec_of("/three", VoxelType::uint8, {1, 4, 4}), false, false);
  EXPECT_THROW(VolumeReader({folder / "a.h5", "/one"}), Error) << "without keep the file starts empty";
}

TEST(VolumeFile, ReplacesOnlyWhenAsked) {
  const testing::TemporaryFolder folder;
  write_volume(folder / "a.h5", spec_of("/v", VoxelType::uint8, {1, 4, 4}), true, false, 10);
  try {
    write_volume(folder / "a.h5", spec_of("/v", VoxelType::uint8, {1, 4, 4}), true, false, 30);
    FAIL() << "replaced without a word";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--overwrite"));
  }
  EXPECT_EQ(VolumeReader({folder / "a.h5", "/v"}).read(Box::of_shape({1, 4, 4})).as<std::uint8_t>()[0], 10);
  write_volume(folder / "a.h5", spec_of("/v", VoxelType::uint16, {2, 4, 4}), true, true, 300);
  EXPECT_EQ(VolumeReader({folder / "a.h5", "/v"}).read(Box::of_shape({2, 4, 4})).as<std::uint16_t>()[0], 300);
}

TEST(VolumeFile, UncommittedLeavesTheOldFile) {
  const testing::TemporaryFolder folder;
  write_volume(folder / "a.h5", spec_of("/v", VoxelType::uint8, {1, 4, 4}), true, false, 10);
  {
    VolumeFile file(folder / "a.h5", true);
    file.add(spec_of("/v", VoxelType::uint8, {1, 4, 4}), true);
  }
  EXPECT_EQ(VolumeReader({folder / "a.h5", "/v"}).read(Box::of_shape({1, 4, 4})).as<std::uint8_t>()[0], 10);
  EXPECT_EQ(folder.entries(), 1);
}

TEST(VolumeFile, NeverReplacesGroupsAndLinks) {
  const testing::TemporaryFolder folder;
  for (const char* path : {"/volumes/raw", "/volumes/labels/cells"})
    write_volume(folder / "a.h5", spec_of(path, VoxelType::uint8, {1, 4, 4}), true, false, 10);
  {
    const Hdf5Handle file(H5Fopen((folder / "a.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    ASSERT_GE(H5Lcreate_soft("/volumes/raw", file.get(), "/soft", H5P_DEFAULT, H5P_DEFAULT), 0);
    ASSERT_GE(H5Lcreate_external("other.h5", "/v", file.get(), "/outside", H5P_DEFAULT, H5P_DEFAULT), 0);
  }
  const std::vector<std::pair<const char*, const char*>> cases{
      {"/volumes", "a group that holds 2 datasets"},
      {"/volumes/labels", "a group that holds 1 dataset,"},
      {"/soft", "a link to /volumes/raw"},
      {"/outside", "a link to other.h5:/v"}};
  for (const auto& [path, words] : cases) {
    for (const bool replace : {false, true}) {
      EXPECT_THAT(
          testing::message_of([&, path = path] {
            write_volume(folder / "a.h5", spec_of(path, VoxelType::uint8, {1, 4, 4}), true, replace, 30);
          }),
          HasSubstr(words))
          << path;
    }
  }
  for (const char* path : {"/volumes/raw", "/volumes/labels/cells", "/soft"})
    EXPECT_EQ(VolumeReader({folder / "a.h5", path}).read(Box::of_shape({1, 4, 4})).as<std::uint8_t>()[0], 10);
}

TEST(VolumeFile, RefusesToExtendWhatIsNoHdf5) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "a.h5") << "this is a text and no volume at all";
  EXPECT_THROW(VolumeFile(folder / "a.h5", true), Error);
  std::ifstream in(folder / "a.h5");
  std::string text;
  std::getline(in, text);
  EXPECT_EQ(text, "this is a text and no volume at all");
}

TEST(VolumeFile, SectionsOutsideAreAnError) {
  const testing::TemporaryFolder folder;
  VolumeFile file(folder / "a.h5", false);
  file.add(spec_of("/v", VoxelType::uint8, {2, 4, 4}), false);
  try {
    file.write_sections("/v", 1, counting(VoxelType::uint8, {2, 4, 4}));
    FAIL() << "wrote beyond the end";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("sections [1, 3)"));
  }
}

}  // namespace
}  // namespace tessera
