#include "io/hdf5/hdf5_listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "io/base/error.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/volume_file.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = Hdf5Entry::Kind;

const Hdf5Entry* find(const Hdf5Listing& listing, const std::string& path) {
  for (const Hdf5Entry& entry : listing.entries) {
    if (entry.path == path) return &entry;
  }
  return nullptr;
}

/// A file with a volume, a table of strings, a line, a scalar and links of every kind.
void write_mixed_file(const std::filesystem::path& file) {
  VolumeSpec spec;
  spec.path = "/volumes/raw";
  spec.type = VoxelType::uint16;
  spec.shape = {3, 8, 9};
  spec.chunk = {1, 4, 4};
  spec.gzip = 1;
  spec.resolution_nm = {50, 4, 4};
  spec.attributes = {{"generator", "a test"}};
  VolumeFile volume(file, false);
  volume.add(spec, false);
  volume.write_sections(spec.path, 0, VoxelBuffer(spec.type, spec.shape));
  volume.commit();
  Hdf5Handle opened(H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
  write_attribute(opened.get(), "title", std::string("mixed"));
  const std::array<hsize_t, 1> five{5};
  Hdf5Handle line(H5Screate_simple(1, five.data(), nullptr), H5Sclose),
      scalar(H5Screate(H5S_SCALAR), H5Sclose);
  Hdf5Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(text.get(), 8);
  for (const auto& [name, type, space] :
       {std::tuple{"names", text.get(), line.get()}, std::tuple{"line", H5T_STD_I32BE, line.get()},
        std::tuple{"one", H5T_IEEE_F64LE, scalar.get()}}) {
    Hdf5Handle dataset(H5Dcreate2(opened.get(), name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                       H5Dclose);
    ASSERT_TRUE(dataset);
  }
  H5Lcreate_external("elsewhere.h5", "/volumes/raw", opened.get(), "outside", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_soft("/volumes/raw", opened.get(), "same", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_soft("/nowhere", opened.get(), "dangling", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_hard(opened.get(), "/", opened.get(), "/volumes/loop", H5P_DEFAULT, H5P_DEFAULT);
}

TEST(Hdf5Listing, NamesEverythingAndFollowsNoLink) {
  const testing::TemporaryFolder folder;
  write_mixed_file(folder / "a.h5");
  const Hdf5Listing listing = list_hdf5_file(folder / "a.h5");
  std::vector<std::string> paths;
  for (const Hdf5Entry& entry : listing.entries)
    paths.push_back(entry.path);
  EXPECT_THAT(paths,
              ElementsAre("/dangling", "/line", "/names", "/one", "/outside", "/same", "/volumes/raw"));
  EXPECT_EQ(listing.attributes.at("title"), "mixed");
  ASSERT_NE(find(listing, "/outside"), nullptr);
  EXPECT_EQ(find(listing, "/outside")->kind, Kind::external_link);
  EXPECT_EQ(find(listing, "/outside")->target, "elsewhere.h5:/volumes/raw");
  EXPECT_EQ(find(listing, "/same")->kind, Kind::soft_link);
  EXPECT_EQ(find(listing, "/same")->target, "/volumes/raw");
  EXPECT_EQ(find(listing, "/dangling")->target, "/nowhere");
}

TEST(Hdf5Listing, DescribesVolumesAndOthers) {
  const testing::TemporaryFolder folder;
  write_mixed_file(folder / "a.h5");
  const Hdf5Listing listing = list_hdf5_file(folder / "a.h5");
  const Hdf5Entry* raw = find(listing, "/volumes/raw");
  ASSERT_NE(raw, nullptr);
  ASSERT_TRUE(raw->volume.has_value()) << raw->problem;
  EXPECT_EQ(raw->type, "uint16");
  EXPECT_THAT(raw->shape, ElementsAre(3, 8, 9));
  EXPECT_EQ(*raw->volume->chunk, (Index3{1, 4, 4}));
  EXPECT_THAT(raw->volume->filters, ElementsAre("shuffle", "gzip"));
  EXPECT_THAT(raw->volume->resolution_nm, ElementsAre(50, 4, 4));
  EXPECT_EQ(raw->volume->attributes.at("generator"), "a test");
  EXPECT_GT(raw->stored_bytes, 0);
  const Hdf5Entry* line = find(listing, "/line");
  ASSERT_NE(line, nullptr);
  EXPECT_EQ(line->type, "int32, big-endian");
  EXPECT_THAT(line->shape, ElementsAre(5));
  EXPECT_FALSE(line->volume.has_value());
  EXPECT_THAT(line->problem, HasSubstr("has 1 dimensions"));
  EXPECT_EQ(find(listing, "/names")->type, "string");
  EXPECT_TRUE(find(listing, "/one")->shape.empty());
  EXPECT_EQ(find(listing, "/one")->type, "float64");
}

TEST(Hdf5Listing, AnEmptyFileIsAnEmptyList) {
  const testing::TemporaryFolder folder;
  Hdf5Handle(H5Fcreate((folder / "a.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  EXPECT_TRUE(list_hdf5_file(folder / "a.h5").entries.empty());
}

TEST(Hdf5Listing, WhatIsNoHdf5FileIsAnError) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "text.h5") << "this is a text and no volume at all";
  EXPECT_THROW(list_hdf5_file(folder / "text.h5"), Error);
  EXPECT_THROW(list_hdf5_file(folder / "none.h5"), Error);
}

}  // namespace
}  // namespace tessera
