#include "workers/samples/training_labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

constexpr LabelId kLargest = 0xffffffffffffffff;
constexpr std::uint8_t kNone = kIgnoredClass;

/// The classes of one section, `width` wide, at (3, 10, 20).
template <class T>
std::vector<std::uint8_t> classes_of(const std::vector<T>& ids, const LabelOptions& options,
                                     std::int64_t width) {
  const std::int64_t height = static_cast<std::int64_t>(ids.size()) / width;
  VoxelBuffer labels(voxel_type_of<T>(), {1, height, width});
  std::ranges::copy(ids, labels.as<T>().begin());
  return label_classes(labels, {{3, 10, 20}, {4, 10 + height, 20 + width}}, options, {"l.h5", "/labels"});
}

LabelOptions ignoring(LabelId id, LabelKind kind = LabelKind::classes) {
  LabelOptions options;
  options.ignore = id;
  options.kind = kind;
  return options;
}

TEST(LabelClasses, EveryIdCanBeIgnored) {
  const LabelId large = (LabelId{1} << 53) + 1;  // its neighbour is the same number in double
  EXPECT_THAT(classes_of<LabelId>({large, large - 1, large + 1, 0}, ignoring(large), 4),
              ElementsAre(kNone, 1, 1, 0));
  EXPECT_THAT(classes_of<LabelId>({kLargest, 7, 0}, ignoring(kLargest), 3), ElementsAre(kNone, 1, 0));
  EXPECT_THAT(classes_of<LabelId>({kLargest, 7, 7, 0}, ignoring(kLargest, LabelKind::instances), 4),
              ElementsAre(kNone, 1, 1, 0))
      << "an ignored id is no cell: no border is drawn beside it";
  EXPECT_THAT(classes_of<std::uint8_t>({0, 255, 3}, ignoring(0), 3), ElementsAre(kNone, 1, 1));
}

TEST(LabelClasses, ANegativeIdIsAMarkOfSomething) {
  for (const LabelKind kind : {LabelKind::classes, LabelKind::instances}) {
    LabelOptions options;
    options.kind = kind;
    EXPECT_THAT(message_of([&] {
                  classes_of<LabelId>({1, 1, 1, 1, 1, kLargest}, options, 3);
                }),
                AllOf(HasSubstr("l.h5:/labels holds the id 18446744073709551615 (-1 in signed labels)"),
                      HasSubstr("(3, 11, 22)"), HasSubstr("data.ignore_label")));
  }
}

TEST(LabelClasses, InstancesHaveBordersWhereTheyTouch) {
  LabelOptions options;
  options.kind = LabelKind::instances;
  EXPECT_THAT(classes_of<std::uint32_t>({5, 5, 9, 9,  //
                                         5, 5, 9, 9,  //
                                         5, 5, 0, 9},
                                        options, 4),
              ElementsAre(1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1));
}

TEST(LabelClasses, OneClassIsTheInterior) {
  LabelOptions options;
  options.interior = 2;
  EXPECT_THAT(classes_of<std::uint8_t>({0, 1, 2, 9}, options, 4), ElementsAre(0, 0, 1, 0));
  options.invert = true;
  options.ignore = 9;
  EXPECT_THAT(classes_of<std::uint8_t>({0, 1, 2, 9}, options, 4), ElementsAre(1, 1, 0, kNone));
  options = {};
  options.classes = 3;
  options.interior = 2;
  EXPECT_THAT(classes_of<std::uint8_t>({0, 1, 2}, options, 3), ElementsAre(0, 0, 1));
  EXPECT_THAT(message_of([&] {
                classes_of<std::uint8_t>({0, 3}, options, 2);
              }),
              HasSubstr("holds class 3 at (3, 10, 21), but model.classes is 3"));
}

}  // namespace
}  // namespace tessera
