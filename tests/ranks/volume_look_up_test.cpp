#include "pipeline/run/volume_look_up.h"

#include "io/hdf5/volume_file.h"
#include "tests/ranks/ranks.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

using testing::world;

/// Every field has a distinct value, and one text is not UTF-8.
VolumeInfo strange_volume() {
  VolumeInfo info;
  info.name = {"a\xff.h5", "/b"};
  info.type = VoxelType::uint16;
  info.stored_type = "int64";
  info.channels = 3;
  info.rank = 4;
  info.shape = {5, 6, std::int64_t{1} << 39};
  info.chunk = Index3{1, 2, 7};
  info.chunk_channels = 2;
  info.filters = {"shuffle", "gzip"};
  info.resolution_nm = {50, 4.1, 1.0 / 3};
  info.offset_nm = {-1};
  info.attributes = {{"note", "\xfe\n"}, {"", ""}};
  return info;
}

TEST(VolumeLookUp, EveryRankGetsAllFields) {
  std::vector<VolumeInfo> volumes;
  if (world().is_root()) volumes = {strange_volume(), VolumeInfo{}};
  broadcast_volumes(volumes, world());
  ASSERT_EQ(volumes.size(), 2U);
  const VolumeInfo &found = volumes[0], expected = strange_volume();
  EXPECT_EQ(found.name.text(), expected.name.text());
  EXPECT_EQ(found.type, expected.type);
  EXPECT_EQ(found.stored_type, expected.stored_type);
  EXPECT_EQ(found.channels, expected.channels);
  EXPECT_EQ(found.rank, expected.rank);
  EXPECT_EQ(found.shape, expected.shape);
  EXPECT_EQ(found.chunk, expected.chunk);
  EXPECT_EQ(found.chunk_channels, expected.chunk_channels);
  EXPECT_EQ(found.filters, expected.filters);
  EXPECT_EQ(found.resolution_nm, expected.resolution_nm);
  EXPECT_EQ(found.offset_nm, expected.offset_nm);
  EXPECT_EQ(found.attributes, expected.attributes);
  EXPECT_FALSE(volumes[1].chunk.has_value());
}

TEST(VolumeLookUp, ReadsTheRootsFile) {
  const testing::SharedFolder folder;
  // Only the root knows the file's path: the others must not open it.
  const std::filesystem::path file = world().is_root() ? folder / "a.h5" : "/nowhere/a.h5";
  if (world().is_root()) {
    VolumeFile out(file, false);
    VolumeSpec spec;
    spec.path = "/raw";
    spec.shape = {2, 3, 4};
    out.add(spec, false);
    out.write_sections(spec.path, 0, VoxelBuffer(VoxelType::uint8, spec.shape));
    out.commit();
  }
  EXPECT_EQ(look_up_volume({file, "/raw"}, world()).shape, (Index3{2, 3, 4}));
  EXPECT_THROW(look_up_volume({file, "/none"}, world()), AgreedError);
}

}  // namespace
}  // namespace tessera
