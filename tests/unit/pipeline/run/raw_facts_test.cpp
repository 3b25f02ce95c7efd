#include "pipeline/run/raw_facts.h"

#include <gmock/gmock.h>

namespace tessera {
namespace {

using ::testing::HasSubstr;

VolumeInfo volume(VoxelType type, std::vector<double> resolution_nm) {
  VolumeInfo info;
  info.name = {"a.h5", "/raw"};
  info.type = type;
  info.resolution_nm = std::move(resolution_nm);
  return info;
}

TEST(RawFacts, SurviveACheckpoint) {
  RawFacts facts;
  facts.add(volume(VoxelType::uint8, {50, 4, 4}));
  facts.add(volume(VoxelType::uint16, {}));
  facts.add(volume(VoxelType::uint8, {40, 8, 8}));
  facts.add(volume(VoxelType::uint8, {50, 4, 4}));
  Checkpoint checkpoint;
  facts.store(checkpoint);
  const RawFacts found = RawFacts::of(checkpoint);
  EXPECT_EQ(found.voxel_sizes_nm, (std::vector<std::vector<double>>{{50, 4, 4}, {40, 8, 8}}));
  EXPECT_EQ(found.types, (std::vector<std::string>{"uint8", "uint16"}));
}

TEST(RawFacts, DoubtOnlyWhatIsKnown) {
  const RawFacts old = RawFacts::of({});
  EXPECT_EQ(old.voxel_size_doubt(volume(VoxelType::uint8, {1, 1, 1})), "");
  EXPECT_EQ(old.type_doubt(volume(VoxelType::float32, {})), "");
  RawFacts facts;
  facts.add(volume(VoxelType::uint8, {50, 4, 4}));
  facts.add(volume(VoxelType::uint8, {40, 8, 8}));
  for (const std::vector<double>& near : {std::vector<double>{}, {50, 4, 4}, {54, 4.3, 3.7}, {40, 8, 8}})
    EXPECT_EQ(facts.voxel_size_doubt(volume(VoxelType::uint8, near)), "");
  EXPECT_THAT(facts.voxel_size_doubt(volume(VoxelType::uint8, {50, 4, 4.5})),
              HasSubstr("50 x 4 x 4.5 nm (z, y, x), and the network was trained on voxels of 50 x 4 x 4 nm"));
  EXPECT_THAT(facts.voxel_size_doubt(volume(VoxelType::uint8, {40, 9, 9})),
              HasSubstr("trained on voxels of 40 x 8 x 8 nm"));
  EXPECT_THAT(facts.type_doubt(volume(VoxelType::uint16, {})),
              HasSubstr("uint16, and the network was trained on uint8"));
}

}  // namespace
}  // namespace tessera
