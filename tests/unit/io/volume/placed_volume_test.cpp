#include "io/volume/placed_volume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using Numbers = std::vector<double>;

VolumeInfo volume(const std::string& path, const Index3& shape, const Numbers& offset = {},
                  const Numbers& resolution = {}) {
  VolumeInfo info;
  info.name = {"a.h5", path};
  info.shape = shape;
  info.offset_nm = offset;
  info.resolution_nm = resolution;
  return info;
}

Box box_of(const VolumeInfo& part, const VolumeInfo& frame) {
  return box_within(part, "labels", frame, "raw volume");
}

TEST(PlacedVolume, OffsetsPlaceAPart) {
  const VolumeInfo raw = volume("/raw", {125, 300, 300}, {}, {40, 4, 4});
  EXPECT_EQ(box_of(volume("/l", {100, 200, 200}, {400, 148, 148}, {40, 4, 4}), raw),
            (Box{{10, 37, 37}, {110, 237, 237}}));
  EXPECT_EQ(box_of(volume("/l", {100, 200, 200}, {400, 148, 148}), raw), (Box{{10, 37, 37}, {110, 237, 237}}))
      << "the resolution of the raw volume";
  const VolumeInfo moved = volume("/raw", {10, 30, 30}, {-80, 8, 0}, {40, 4, 4});
  EXPECT_EQ(box_of(volume("/l", {10, 30, 30}, {0, 0, 12}), moved), (Box{{2, -2, 3}, {12, 28, 33}}));
  EXPECT_EQ(box_of(volume("/l", {2, 3, 3}, {1, 9, 17}), volume("/raw", {10, 30, 30})),
            (Box{{1, 9, 17}, {3, 12, 20}}))
      << "without a resolution offsets are in voxels";
  EXPECT_EQ(box_of(volume("/l", {10, 30, 30}, {0, 4.00000011, 0}, {40, 4.0000001, 4}), moved).begin.y, -1)
      << "single precision";
}

TEST(PlacedVolume, WithoutAnOffsetTheShapesMustBeEqual) {
  const VolumeInfo raw = volume("/raw", {4, 30, 30}, {40, 40, 40}, {40, 4, 4});
  EXPECT_EQ(box_of(volume("/l", {4, 30, 30}), raw), Box::of_shape({4, 30, 30}));
  EXPECT_THAT(
      message_of([&] {
        box_of(volume("/l", {4, 30, 29}), raw);
      }),
      AllOf(HasSubstr("the labels a.h5:/l have the shape (4, 30, 29), but the raw volume a.h5:/raw has "
                      "(4, 30, 30): they must be equal, or"),
            HasSubstr("'offset'")));
}

TEST(PlacedVolume, ContradictionsAreErrors) {
  const VolumeInfo raw = volume("/raw", {4, 30, 30}, {}, {40, 4, 4});
  EXPECT_THAT(message_of([&] {
                box_of(volume("/l", {4, 30, 30}, {}, {40, 8, 8}), raw);
              }),
              AllOf(HasSubstr("the resolution of the labels a.h5:/l is (40, 8, 8) nm, that of the raw volume "
                              "a.h5:/raw is (40, 4, 4) nm"),
                    HasSubstr("Resample")));
  EXPECT_THAT(message_of([&] {
                box_of(volume("/l", {4, 20, 30}, {0, 6, 0}), raw);
              }),
              HasSubstr("differ by 1.5 voxels on axis y"));
  EXPECT_NE(message_of([&] { box_of(volume("/l", {4, 20, 30}, {1e300, 0, 0}), raw); }), "no error");
}

/// Voxel (z, y, x) of a part is 100 z + 10 y + x.
class Numbered final : public Volume {
 public:
  explicit Numbered(VolumeInfo info) : info_(std::move(info)) {}
  const VolumeInfo& info() const override { return info_; }
  VoxelBuffer read(const Box& box, std::vector<std::byte>) override {
    EXPECT_TRUE(Box::of_shape(info_.shape).contains(box)) << to_string(box);
    VoxelBuffer voxels(VoxelType::uint16, box.shape());
    std::size_t i = 0;
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
        for (std::int64_t x = box.begin.x; x < box.end.x; ++x)
          voxels.as<std::uint16_t>()[i++] = static_cast<std::uint16_t>(100 * z + 10 * y + x);
      }
    }
    return voxels;
  }
  std::int64_t chunks_read() const override { return 7; }

 private:
  VolumeInfo info_;
};

TEST(PlacedVolume, IsReadInTheFramesCoordinates) {
  const VolumeInfo raw = volume("/raw", {4, 9, 9});
  const PlacedVolume inner =
      placed_on(std::make_unique<Numbered>(volume("/l", {2, 5, 9}, {1, -2, 3})), "labels", raw, "raw volume");
  EXPECT_EQ(inner.covered, (Box{{1, 0, 3}, {3, 3, 9}}));
  EXPECT_EQ(inner.volume->info().shape, raw.shape);
  EXPECT_EQ(inner.volume->chunks_read(), 7);
  const VoxelBuffer voxels = inner.volume->read({{2, 0, 3}, {3, 1, 6}});
  EXPECT_THAT(voxels.as<std::uint16_t>(), ElementsAre(120, 121, 122));
  EXPECT_THAT(message_of([&] {
                inner.volume->read({{0, 0, 3}, {3, 1, 6}});
              }),
              HasSubstr("by its offset it has z [1, 3) y [-2, 3) x [3, 12)"));
  EXPECT_THAT(message_of([&] {
                placed_on(std::make_unique<Numbered>(volume("/l", {2, 5, 9}, {4, 0, 0})), "labels", raw,
                          "raw volume");
              }),
              AllOf(HasSubstr("the labels a.h5:/l and the raw volume a.h5:/raw have no voxel in common"),
                    HasSubstr("z [4, 6)")));
}

}  // namespace
}  // namespace tessera
