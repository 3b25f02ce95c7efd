#include "workers/infer/volume_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/base/error.h"
#include "io/hdf5/volume_file.h"
#include "io/stores/open_volume.h"
#include "tests/unit/temporary_folder.h"
#include "workers/blocks/skip_rule.h"

namespace tessera {
namespace {

DatasetName write_volume(const std::filesystem::path& file, const VoxelBuffer& voxels,
                         const std::optional<Index3>& chunk) {
  VolumeFile out(file, false);
  VolumeSpec spec;
  spec.shape = voxels.shape;
  spec.type = voxels.type;
  if (chunk) spec.chunk = *chunk;
  out.add(spec, false);
  out.write_sections(spec.path, 0, voxels);
  out.commit();
  return {file, spec.path};
}

/// The voxels of section z alternate between 10 z and 10 z + 4: mean 10 z + 2, deviation 2.
VoxelBuffer striped(const Index3& shape) {
  VoxelBuffer voxels(VoxelType::uint8, shape);
  auto values = voxels.as<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t z = static_cast<std::int64_t>(i) / (shape.y * shape.x);
    values[i] = static_cast<std::uint8_t>(10 * z + 4 * static_cast<std::int64_t>(i % 2));
  }
  return voxels;
}

TEST(VolumeStatistics, DescribeEachSection) {
  const testing::TemporaryFolder folder;
  const VolumeInfo raw =
      read_volume_info(write_volume(folder / "a.h5", striped({5, 32, 48}), Index3{2, 16, 16}));
  const auto sections = section_statistics(raw, Communicator::alone());
  ASSERT_EQ(sections.size(), 5U);
  for (std::size_t z = 0; z < 5; ++z) {
    EXPECT_NEAR(sections[z].mean, 10.0 * static_cast<double>(z) + 2, 1e-12);
    EXPECT_NEAR(sections[z].std, 2, 1e-9);
  }
  const Normalisation whole = volume_statistics(raw, Communicator::alone());
  EXPECT_NEAR(whole.mean, 22, 1e-12);
  EXPECT_NEAR(whole.std, std::sqrt(204.0), 1e-9);  // 2^2 within sections and 200 between them
}

TEST(VolumeStatistics, HaveUnitDeviationWithoutContrast) {
  const testing::TemporaryFolder folder;
  VoxelBuffer flat(VoxelType::uint8, {2, 20, 20});
  for (auto& v : flat.as<std::uint8_t>())
    v = 7;
  const DatasetName raw = write_volume(folder / "a.h5", flat, Index3{1, 20, 20});
  const auto sections = section_statistics(read_volume_info(raw), Communicator::alone());
  EXPECT_EQ(sections[0].mean, 7);
  EXPECT_EQ(sections[0].std, 1);
}

TEST(VolumeStatistics, NameANaN) {
  const testing::TemporaryFolder folder;
  VoxelBuffer values(VoxelType::float32, {1, 8, 8});
  values.as<float>()[9] = std::nanf("");
  const DatasetName raw = write_volume(folder / "a.h5", values, Index3{1, 8, 8});
  EXPECT_THROW(section_statistics(read_volume_info(raw), Communicator::alone()), Error);
}

TEST(VolumeStatistics, ASampleLeavesOutPadding) {
  const testing::TemporaryFolder folder;
  VoxelBuffer values(VoxelType::float32, {3, 8, 8});
  const auto voxels = values.as<float>();
  for (std::size_t i = 0; i < voxels.size(); ++i)
    voxels[i] = i % 2 == 0 ? 0 : i % 4 == 1 ? 90.0F : 110.0F;
  voxels[1] = std::nanf("");
  const DatasetName raw = write_volume(folder / "a.h5", values, Index3{1, 8, 8});
  const auto found = sampled_statistics(read_volume_info(raw));
  ASSERT_TRUE(found);
  EXPECT_NEAR(found->mean, 100, 0.2);
  EXPECT_NEAR(found->std, 10, 0.1);
  std::fill(voxels.begin(), voxels.end(), 0.0F);
  EXPECT_FALSE(sampled_statistics(read_volume_info(write_volume(folder / "b.h5", values, Index3{1, 8, 8}))));
}

TEST(VolumeStatistics, OtherScalesAreFar) {
  const Normalisation trained{128, 40};
  for (const Normalisation& near : {Normalisation{128, 40}, Normalisation{200, 60}, Normalisation{90, 20}})
    EXPECT_FALSE(is_far(near, trained)) << near.mean;
  for (const Normalisation& far : {Normalisation{128 * 257.0, 40 * 257.0}, Normalisation{0.5, 0.16},
                                   Normalisation{128, 5}, Normalisation{128, 400}, Normalisation{240, 40}})
    EXPECT_TRUE(is_far(far, trained)) << far.mean;
}

VolumeInfo raw_of(const Index3& shape, const std::vector<double>& offset = {},
                  const std::vector<double>& resolution = {}) {
  VolumeInfo raw;
  raw.name = {"em.h5", "/raw"};
  raw.shape = shape;
  raw.offset_nm = offset;
  raw.resolution_nm = resolution;
  return raw;
}

TEST(SkipRule, OffsetAndResolutionPlaceAMask) {
  const testing::TemporaryFolder folder;
  VolumeSpec spec;
  spec.path = "/m";
  spec.shape = {2, 5, 7};
  spec.chunk = {1, 5, 7};
  spec.resolution_nm = {80, 8, 8};
  spec.offset_nm = {120, 16, 24};
  VoxelBuffer mask(VoxelType::uint8, spec.shape);
  mask.as<std::uint8_t>()[0] = 1;
  {
    VolumeFile file(folder / "m.h5", false);
    file.add(spec, false);
    file.write_sections("/m", 0, mask);
    file.commit();
  }
  const DatasetName name{folder / "m.h5", "/m"};
  // Mask voxel (0, 0, 0) is raw [2, 4) [2, 4) [4, 6).
  BlockMask blocks(name, raw_of({9, 40, 40}, {40, 8, 8}, {40, 4, 4}));
  EXPECT_FALSE(blocks.is_background({{2, 3, 4}, {4, 8, 8}}));
  EXPECT_TRUE(blocks.is_background({{2, 4, 4}, {4, 8, 8}}));
  EXPECT_TRUE(blocks.is_background({{4, 2, 4}, {6, 12, 18}}));
  EXPECT_FALSE(blocks.is_background({{4, 2, 4}, {6, 13, 18}})) << "the mask has no voxel there";
  EXPECT_FALSE(blocks.is_background({{1, 4, 4}, {4, 8, 8}}));
  for (const auto& wrong :
       {raw_of({9, 40, 40}, {40, 8, 8}, {40, 3, 3}), raw_of({9, 40, 40}, {41, 8, 8}, {40, 4, 4}),
        raw_of({2, 5, 7}, {}, {160, 8, 8})}) {
    EXPECT_THROW(BlockMask(name, wrong), UsageError);
  }
}

TEST(SkipRule, AMaskMayBeCoarser) {
  const testing::TemporaryFolder folder;
  VoxelBuffer mask(VoxelType::uint8, {2, 5, 7});  // one mask pixel for each 2 x 8 x 8 voxels of 4 x 40 x 53
  mask.as<std::uint8_t>()[1 * 35 + 2 * 7 + 3] = 1;
  const DatasetName name = write_volume(folder / "m.h5", mask, Index3{1, 5, 7});
  BlockMask blocks(name, raw_of({4, 40, 53}));
  EXPECT_FALSE(blocks.is_background({{0, 0, 0}, {4, 40, 53}}));
  EXPECT_FALSE(blocks.is_background({{3, 23, 31}, {4, 24, 32}}));
  EXPECT_TRUE(blocks.is_background({{0, 0, 0}, {2, 40, 53}})) << "the other layer";
  EXPECT_TRUE(blocks.is_background({{2, 24, 0}, {4, 40, 53}}));
  EXPECT_TRUE(blocks.is_background({{2, 0, 32}, {4, 40, 53}}));
  EXPECT_THROW(BlockMask(name, raw_of({4, 3, 53})), UsageError) << "no factor gives 5 rows of 3";
}

TEST(SkipRule, AFloatMaskHoldsWholeNumbers) {
  const testing::TemporaryFolder folder;
  VoxelBuffer mask(VoxelType::float32, {2, 5, 7});
  mask.as<float>()[1 * 35 + 2 * 7 + 3] = 1;
  mask.as<float>()[0] = 0.5F;
  BlockMask blocks(write_volume(folder / "f.h5", mask, Index3{1, 5, 7}), raw_of({4, 40, 53}));
  EXPECT_FALSE(blocks.is_background({{2, 16, 24}, {4, 24, 32}}));
  EXPECT_TRUE(blocks.is_background({{2, 24, 0}, {4, 40, 53}}));
  EXPECT_THROW(blocks.is_background({{0, 0, 0}, {2, 8, 8}}), Error) << "a fraction";
}

TEST(SkipRule, BackgroundNeedsEveryValueInRange) {
  VoxelBuffer raw(VoxelType::uint8, {2, 10, 10});
  raw.as<std::uint8_t>()[100 + 5 * 10 + 6] = 9;
  const Box held{{4, 20, 30}, {6, 30, 40}};
  EXPECT_TRUE(all_within(raw, held, {{4, 20, 30}, {5, 30, 40}}, 0, 3));
  EXPECT_FALSE(all_within(raw, held, {{5, 20, 30}, {6, 30, 40}}, 0, 3));
  EXPECT_TRUE(all_within(raw, held, {{5, 20, 30}, {6, 30, 40}}, 0, 9));
  EXPECT_TRUE(all_within(raw, held, {{5, 20, 30}, {6, 25, 40}}, 0, 3));
  EXPECT_FALSE(all_within(raw, held, {{4, 20, 30}, {5, 30, 40}}, 1, 3));
}

}  // namespace
}  // namespace tessera
