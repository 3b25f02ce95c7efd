/// What attributes say of a dataset is honoured, or the dataset is rejected.

#include "io/hdf5/dataset_meaning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "io/base/error.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/volume_reader.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/hdf5/created_dataset.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

/// A volume of this shape with attributes that `add` writes.
DatasetName write_volume(const std::filesystem::path& file, const std::vector<hsize_t>& dims,
                         const std::function<void(hid_t dataset)>& add) {
  const Hdf5Handle opened = testing::create_file(file);
  const Hdf5Handle dataset = testing::create_dataset(opened.get(), "v", H5T_STD_U8LE, dims);
  add(dataset.get());
  return {file, "/v"};
}

/// Strings of variable length, as h5py writes lists.
void write_list(hid_t dataset, const char* name, const std::vector<const char*>& texts) {
  const hsize_t count = texts.size();
  const Hdf5Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose), type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  const Hdf5Handle attribute(H5Acreate2(dataset, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
                             H5Aclose);
  ASSERT_GE(H5Awrite(attribute.get(), type.get(), texts.data()), 0);
}

class Meaning : public ::testing::Test {
 protected:
  std::string message(const std::vector<hsize_t>& dims, const std::function<void(hid_t)>& add) {
    const DatasetName name = write_volume(folder_ / "a.h5", dims, add);
    return message_of([&] { VolumeReader{name}; });
  }
  std::string of_axes(const std::vector<hsize_t>& dims, const std::string& axes) {
    return message(dims, [&](hid_t dataset) { write_attribute(dataset, "axes", axes); });
  }

  testing::TemporaryFolder folder_;
};

TEST_F(Meaning, AxesInAnotherOrderAreRejected) {
  EXPECT_EQ(of_axes({2, 3, 4}, "zyx"), "no error");
  EXPECT_EQ(of_axes({2, 3, 4}, "Z, Y, X"), "no error");
  EXPECT_EQ(of_axes({3, 4}, "yx"), "no error");
  EXPECT_EQ(of_axes({2, 2, 3, 4}, "czyx"), "no error");
  EXPECT_EQ(of_axes({1, 2, 3, 4}, "tzyx"), "no error");
  EXPECT_EQ(of_axes({1, 3, 4}, "cyx"), "no error");
  EXPECT_EQ(of_axes({2, 3, 4}, "of no meaning"), "no error");
  EXPECT_THAT(of_axes({2, 3, 4}, "xyz"),
              AllOf(HasSubstr("a.h5:/v"), HasSubstr("'axes'"), HasSubstr("(x, y, z)"), HasSubstr("(z, y, x)"),
                    HasSubstr("Transpose")));
  for (const char* axes : {"cyx", "tyx", "yxc", "zxy", "x y z"})
    EXPECT_THAT(of_axes({2, 3, 4}, axes), HasSubstr("'axes'")) << axes;
  EXPECT_THAT(of_axes({3, 4}, "xy"), HasSubstr("'axes'"));
  EXPECT_THAT(of_axes({2, 2, 3, 4}, "zyxc"), HasSubstr("'axes'"));
  EXPECT_THAT(of_axes({2, 2, 3, 4}, "tzyx"), HasSubstr("'axes'"));
}

TEST_F(Meaning, ListsOfAxesAndAxistagsAreRead) {
  const std::vector<hsize_t> dims{2, 3, 4};
  const auto labels = [&](const std::vector<const char*>& names) {
    return message(dims, [&](hid_t dataset) { write_list(dataset, "DIMENSION_LABELS", names); });
  };
  EXPECT_EQ(labels({"z", "y", "x"}), "no error");
  EXPECT_EQ(labels({"depth", "height", "width"}), "no error");
  EXPECT_EQ(labels({"", "", ""}), "no error");
  EXPECT_THAT(labels({"x", "y", "z"}), HasSubstr("DIMENSION_LABELS"));
  EXPECT_THAT(labels({"width", "height", "depth"}), HasSubstr("DIMENSION_LABELS"));
  const auto tags = [&](const std::string& text) {
    return message(dims, [&](hid_t dataset) { write_attribute(dataset, "axistags", text); });
  };
  EXPECT_EQ(tags(R"({"axes": [{"key": "z"}, {"key": "y"}, {"key": "x"}]})"), "no error");
  EXPECT_EQ(tags("{"), "no error");
  EXPECT_THAT(tags(R"({"axes": [{"key": "x"}, {"key": "y"}, {"key": "z"}]})"), HasSubstr("axistags"));
}

TEST_F(Meaning, ColoursInvertedAndScaledValuesAreRejected) {
  const auto text = [&](const char* name, const std::string& value) {
    return message({2, 3, 4}, [&](hid_t dataset) { write_attribute(dataset, name, value); });
  };
  const auto number = [&](const char* name, double value) {
    return message({2, 3, 4},
                   [&](hid_t dataset) { write_attribute(dataset, name, std::vector<double>{value}); });
  };
  EXPECT_EQ(text("IMAGE_SUBCLASS", "IMAGE_GRAYSCALE"), "no error");
  EXPECT_THAT(text("IMAGE_SUBCLASS", "IMAGE_TRUECOLOR"), HasSubstr("colour image"));
  EXPECT_EQ(number("IMAGE_WHITE_IS_ZERO", 0), "no error");
  EXPECT_THAT(number("IMAGE_WHITE_IS_ZERO", 1), HasSubstr("0 means white"));
  EXPECT_EQ(number("scale_factor", 1), "no error");
  EXPECT_THAT(number("scale_factor", 0.5), HasSubstr("scaled"));
  EXPECT_THAT(number("add_offset", 100), HasSubstr("shifted"));
}

TEST_F(Meaning, ResolutionAndOffsetAreThreeNumbers) {
  const auto attribute = [&](const char* name, const std::vector<double>& values) {
    return message({2, 3, 4}, [&](hid_t dataset) { write_attribute(dataset, name, values); });
  };
  EXPECT_EQ(attribute("resolution", {40, 4, 4}), "no error");
  EXPECT_EQ(attribute("offset", {-40, 0, 4}), "no error");
  EXPECT_THAT(attribute("resolution", {4, 4}), AllOf(HasSubstr("'resolution'"), HasSubstr("not 3 numbers")));
  EXPECT_THAT(attribute("resolution", {40, 4, 0}), HasSubstr("positive"));
  EXPECT_THAT(attribute("offset", {1, 2, 3, 4}), HasSubstr("not 3 numbers"));
  EXPECT_THAT(attribute("offset", {1, 2, std::numeric_limits<double>::infinity()}), HasSubstr("'offset'"));
  const DatasetName name = write_volume(folder_ / "b.h5", {2, 3, 4}, [](hid_t dataset) {
    write_attribute(dataset, "resolution", std::vector<double>{8});
  });
  EXPECT_THAT(VolumeReader(name).info().resolution_nm, ElementsAre(8, 8, 8));
}

}  // namespace
}  // namespace tessera
