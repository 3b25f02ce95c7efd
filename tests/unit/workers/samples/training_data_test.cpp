#include "workers/samples/training_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/geometry/unet_geometry.h"
#include "tests/unit/temporary_folder.h"
#include "training_volumes.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::write_volume;

constexpr Index3 kDataShape{5, 9, 11};

double data_raw_at(const Index3& p) {
  return static_cast<double>((p.z * 61 + p.y * 17 + p.x * 3) % 200);
}
double data_label_at(const Index3& p) {
  return static_cast<double>((p.z + p.y / 2 + p.x / 3) % 3);
}

/// Walks outward and turns back at the ends.
std::int64_t bounced(std::int64_t i, std::int64_t n) {
  if (n == 1) return 0;
  while (i < 0 || i >= n)
    i = i < 0 ? -i : 2 * (n - 1) - i;
  return i;
}
Index3 bounced(const Index3& p) {
  return {bounced(p.z, kDataShape.z), bounced(p.y, kDataShape.y), bounced(p.x, kDataShape.x)};
}

class TrainingDataTest : public ::testing::Test {
 protected:
  TrainingDataOptions options(VoxelType type = VoxelType::uint8) {
    TrainingDataOptions o;
    o.raw = write_volume(folder_ / "em.h5", "raw", type, kDataShape, data_raw_at);
    o.labels = write_volume(folder_ / "em.h5", "labels", VoxelType::uint8, kDataShape, data_label_at);
    o.sections = {1, 3};
    return o;
  }
  testing::TemporaryFolder folder_;
};

void expect_equal_to_reference(const TrainingData& data, const Index3& at, std::int64_t side,
                               const NetworkGeometry& geometry) {
  const double mean = 90, std = 40;
  const Sample sample = data.cut(at.z, at.y, at.x, side, geometry, mean, std);
  const std::int64_t context = data.options().context, lost = (side - geometry.output_side(side)) / 2;
  ASSERT_EQ(sample.channels, 2 * context + 1);
  ASSERT_EQ(sample.input_side, side);
  ASSERT_EQ(sample.output_side, geometry.output_side(side));
  ASSERT_EQ(static_cast<std::int64_t>(sample.input.size()), sample.channels * side * side);
  ASSERT_EQ(static_cast<std::int64_t>(sample.classes.size()), sample.output_side * sample.output_side);
  std::size_t i = 0;
  for (std::int64_t c = 0; c < sample.channels; ++c) {
    for (std::int64_t y = 0; y < side; ++y) {
      for (std::int64_t x = 0; x < side; ++x) {
        const Index3 place = bounced({at.z - context + c, at.y - lost + y, at.x - lost + x});
        ASSERT_NEAR(sample.input[i++], (data_raw_at(place) - mean) / std, 1e-5) << c << " " << y << " " << x;
      }
    }
  }
  i = 0;
  for (std::int64_t y = 0; y < sample.output_side; ++y) {
    for (std::int64_t x = 0; x < sample.output_side; ++x) {
      const double label = data_label_at(bounced({at.z, at.y + y, at.x + x}));
      ASSERT_EQ(sample.classes[i++], data.options().classes == 2 ? label > 0 : label) << y << " " << x;
    }
  }
}

TEST_F(TrainingDataTest, CutEqualsTheMirroredReference) {
  for (const VoxelType type : {VoxelType::uint8, VoxelType::uint16, VoxelType::float32}) {
    for (const std::int64_t context : {0, 1, 3}) {
      TrainingDataOptions o = options(type);
      o.context = context;
      o.classes = context == 1 ? 2 : 3;
      const TrainingData data(o);
      EXPECT_EQ(data.network_channels(), 2 * context + 1);
      for (const std::int64_t z : {1, 2}) {
        for (const Index3 at : {Index3{z, 0, 0}, Index3{z, 3, 4}, Index3{z, -7, -9}}) {
          expect_equal_to_reference(data, at, 10, valid_geometry(1, 1));
          expect_equal_to_reference(data, at, 40,
                                    valid_geometry(1, 1));  // output 32: larger than the section
          expect_equal_to_reference(data, at, 24, same_geometry(1, 1, 2));
        }
      }
    }
  }
}

TEST_F(TrainingDataTest, StatisticsAreThoseOfTheTrainingSections) {
  for (const std::int64_t context : {0, 1}) {
    TrainingDataOptions o = options(VoxelType::uint16);
    o.classes = 3;
    o.context = context;
    const TrainingData data(o);
    double sum = 0, squares = 0, count = 0;
    std::vector<std::int64_t> counts(3, 0);
    for (std::int64_t z = 1; z < 3; ++z) {
      for (std::int64_t y = 0; y < kDataShape.y; ++y) {
        for (std::int64_t x = 0; x < kDataShape.x; ++x) {
          const double v = data_raw_at({z, y, x});
          sum += v, squares += v * v, count += 1;
          ++counts[static_cast<std::size_t>(data_label_at({z, y, x}))];
        }
      }
    }
    EXPECT_NEAR(data.mean(), sum / count, 1e-9);
    EXPECT_NEAR(data.std(), std::sqrt(squares / count - sum / count * sum / count), 1e-9);
    EXPECT_EQ(data.class_counts(), counts);
  }
}

TEST_F(TrainingDataTest, TwoClassesAreBackgroundAndTheRest) {
  TrainingDataOptions o = options();
  o.labels = write_volume(folder_ / "l.h5", "labels", VoxelType::uint64, kDataShape,
                          [](const Index3& p) { return p.x < 4 ? 0.0 : 1e12 + static_cast<double>(p.y); });
  const TrainingData data(o);
  EXPECT_THAT(data.class_counts(), ElementsAre(2 * 9 * 4, 2 * 9 * 7));
}

TEST_F(TrainingDataTest, ABlankVolumeHasDeviationOne) {
  TrainingDataOptions o = options();
  o.raw =
      write_volume(folder_ / "em.h5", "raw", VoxelType::uint8, kDataShape, [](const Index3&) { return 7.0; });
  EXPECT_EQ(TrainingData(o).mean(), 7);
  EXPECT_EQ(TrainingData(o).std(), 1);
}

TEST_F(TrainingDataTest, ReportsDifferentShapes) {
  TrainingDataOptions o = options();
  o.labels = write_volume(folder_ / "em.h5", "labels", VoxelType::uint8, {5, 9, 12}, data_label_at);
  EXPECT_THROW(TrainingData{o}, UsageError);
  EXPECT_THAT(message_of([&] { TrainingData{o}; }),
              AllOf(HasSubstr("(5, 9, 12)"), HasSubstr("(5, 9, 11)"), HasSubstr("/volumes/labels"),
                    HasSubstr("must be equal")));
}

TEST_F(TrainingDataTest, OffsetsPlaceTheLabels) {
  const Index3 begin{1, 2, 3};
  TrainingDataOptions o = options();
  o.classes = 3;
  o.region = PixelBounds{2, 3, 8, 10};
  const TrainingData whole(o);
  o.labels = write_volume(folder_ / "inner.h5", "labels", VoxelType::uint8, {3, 6, 7},
                          [&](const Index3& p) { return data_label_at(p + begin); }, {1, 2, 3});
  const TrainingData inner(o);
  EXPECT_EQ(inner.class_counts(), whole.class_counts());
  EXPECT_EQ(inner.cut(2, 3, 4, 10, valid_geometry(1, 1), 0, 1).classes,
            whole.cut(2, 3, 4, 10, valid_geometry(1, 1), 0, 1).classes);
  EXPECT_EQ(inner.mean(), whole.mean());
  o.region.reset();
  EXPECT_THAT(message_of([&] { TrainingData{o}; }), HasSubstr("cover z [1, 4) y [2, 8) x [3, 10) of it"));
}

TEST_F(TrainingDataTest, ReportsSectionsOutsideTheVolume) {
  for (const Sections sections : {Sections{-1, 2}, Sections{3, 6}, Sections{2, 2}, Sections{3, 1}}) {
    TrainingDataOptions o = options();
    o.sections = sections;
    EXPECT_THROW(TrainingData{o}, UsageError);
    EXPECT_THAT(message_of([&] { TrainingData{o}; }),
                AllOf(HasSubstr("data.train_sections"), HasSubstr("5 sections")));
  }
}

TEST_F(TrainingDataTest, ReportsThePositionOfNan) {
  TrainingDataOptions o = options();
  const auto with_nan = [](const Index3& at) {
    return
        [at](const Index3& p) { return p == at ? std::numeric_limits<double>::quiet_NaN() : data_raw_at(p); };
  };
  o.raw = write_volume(folder_ / "em.h5", "raw", VoxelType::float32, kDataShape, with_nan({2, 3, 4}));
  EXPECT_THAT(message_of([&] { TrainingData{o}; }),
              AllOf(HasSubstr("/volumes/raw"), HasSubstr("NaN"), HasSubstr("(2, 3, 4)")));
  o.raw = write_volume(folder_ / "em.h5", "raw", VoxelType::float32, kDataShape, with_nan({4, 3, 4}));
  EXPECT_EQ(message_of([&] { TrainingData{o}; }), "no error") << "not a section of the training";
}

TEST_F(TrainingDataTest, ReportsThePositionOfAnUnknownClass) {
  TrainingDataOptions o = options();
  o.classes = 3;
  const auto with_class = [&](VoxelType type, double wrong) {
    o.labels = write_volume(folder_ / "l.h5", "labels", type, kDataShape, [wrong](const Index3& p) {
      return p == Index3{2, 8, 10} ? wrong : data_label_at(p);
    });
    return message_of([&] { TrainingData{o}; });
  };
  EXPECT_EQ(with_class(VoxelType::uint8, 2), "no error");
  EXPECT_THAT(with_class(VoxelType::uint8, 3),
              AllOf(HasSubstr("class 3"), HasSubstr("(2, 8, 10)"), HasSubstr("model.classes is 3")));
  EXPECT_THAT(with_class(VoxelType::uint64, 1e15), HasSubstr("class 1000000000000000"));
  EXPECT_THAT(with_class(VoxelType::float32, -1),
              HasSubstr("holds the id 18446744073709551615 (-1 in signed labels) at (2, 8, 10)"));
  EXPECT_THAT(with_class(VoxelType::float32, 1.5), HasSubstr("it holds 1.5, and labels are whole numbers"));
}

TEST_F(TrainingDataTest, RejectsIdentitiesAsRaw) {
  TrainingDataOptions o = options(VoxelType::uint64);
  EXPECT_THAT(message_of([&] { TrainingData{o}; }), AllOf(HasSubstr("uint64"), HasSubstr("/volumes/raw")));
}

}  // namespace
}  // namespace tessera
