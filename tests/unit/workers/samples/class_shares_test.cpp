#include "workers/samples/class_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"
#include "training_volumes.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;
using testing::write_volume;

TEST(ClassShares, AreCountedInTheTrainedSections) {
  const testing::TemporaryFolder folder;
  TrainingDataOptions options;
  options.raw =
      write_volume(folder / "a.h5", "raw", VoxelType::uint8, {3, 4, 10}, [](const Index3&) { return 1.0; });
  options.labels =
      write_volume(folder / "l.h5", "labels", VoxelType::uint16, {3, 4, 10}, [](const Index3& p) {
        return p.z == 2 ? 9.0 : p.x == 0 ? 0.0 : p.x == 1 ? 300.0 : 2.0;
      });
  options.sections = {0, 2};
  options.ignore_label = 300;
  const ClassShares shares = count_classes(options);
  EXPECT_THAT(shares.counts, ElementsAre(8, 64));
  EXPECT_THAT(shares.ids, ElementsAre(0, 2, 300));
  EXPECT_EQ(shares.text(), "class 0: 11.1 %, class 1: 88.9 %");
  EXPECT_THAT(shares.doubts(), IsEmpty());
  EXPECT_EQ(message_of([&] { require_classes(shares, false); }), "no error");
  options.sections = {2, 3};
  EXPECT_THAT(
      message_of([&] { require_classes(count_classes(options), false); }),
      AllOf(HasSubstr("all 40 annotated voxels are class 1: the labels hold 9, and every id above 0 is "
                      "class 1"),
            HasSubstr("data.allow_one_class: true")));
  EXPECT_EQ(message_of([&] { require_classes(count_classes(options), true); }), "no error");
  options.ignore_label = 9;
  EXPECT_THAT(message_of([&] { require_classes(count_classes(options), true); }),
              HasSubstr("no voxel is annotated"));
}

TEST(ClassShares, MoreValuesThanClassesAreQuestioned) {
  const testing::TemporaryFolder folder;
  TrainingDataOptions options;
  options.raw =
      write_volume(folder / "a.h5", "raw", VoxelType::uint8, {1, 4, 10}, [](const Index3&) { return 1.0; });
  options.labels = write_volume(folder / "l.h5", "labels", VoxelType::uint8, {1, 4, 10}, [](const Index3& p) {
    return p.x == 0 ? 0.0 : p.x == 1 ? 255.0 : 1.0;
  });
  options.sections = {0, 1};
  EXPECT_THAT(count_classes(options).doubts(),
              ElementsAre(AllOf(HasSubstr("hold 3 different values (0, 1, 255), and model.classes is 2"),
                                HasSubstr("set data.ignore_label to it"))));
  options.ignore_label = 255;
  EXPECT_THAT(count_classes(options).doubts(), IsEmpty());
  options.ignore_label.reset();
  options.label_kind = LabelKind::instances;
  EXPECT_THAT(count_classes(options).doubts(), IsEmpty());
}

TEST(ClassShares, RareClassesAreNamed) {
  ClassShares shares{{99, 99'901, 0}, {0, 1, 2, 3, 4, 5, 6}};
  EXPECT_THAT(shares.doubts(),
              ElementsAre(AllOf(HasSubstr("class 0 has 99 of the 100000 annotated voxels (0.099 %)"),
                                HasSubstr("0, 1, 2, 3, 4, 5, ...")),
                          HasSubstr("class 2 has 0 of the 100000")));
  EXPECT_EQ(shares.present(), 2);
}

TEST(ClassShares, NearlyOneClassIsAnError) {
  const ClassShares nearly{{99'900, 100}, {0, 1}}, enough{{99'800, 200}, {0, 1}};
  EXPECT_THAT(message_of([&] { require_classes(nearly, false); }),
              AllOf(HasSubstr("99.9 % of the 100000 annotated voxels are class 0"),
                    HasSubstr("data.allow_one_class: true")));
  EXPECT_EQ(message_of([&] { require_classes(nearly, true); }), "no error");
  EXPECT_EQ(message_of([&] { require_classes(enough, false); }), "no error");
}

TEST(ClassShares, ManyValuesLookLikeCells) {
  std::vector<LabelId> ids;
  for (std::uint64_t id = 0; id <= kMostClassValues; ++id)
    ids.push_back(id);
  LabelOptions options;
  EXPECT_TRUE(look_like_cells(ids, options));
  options.kind = LabelKind::instances;
  EXPECT_FALSE(look_like_cells(ids, options));
  options.kind = LabelKind::classes;
  ids.pop_back();
  EXPECT_FALSE(look_like_cells(ids, options));
  ClassShares shares{{30'000, 70'000}, {0, 1, 2}, true};
  EXPECT_THAT(shares.doubts(), ElementsAre(HasSubstr("data.label_kind: instances")));
}

}  // namespace
}  // namespace tessera
