#include "io/stores/open_volume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "io/base/crc32c.h"
#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
namespace fs = std::filesystem;

OutputVolumeSpec spec_of(const fs::path& file) {
  OutputVolumeSpec spec;
  spec.name = {file, "/volumes/predictions/interior"};
  spec.type = VoxelType::uint16;
  spec.shape = {3, 20, 30};
  spec.chunk = {2, 16, 16};
  return spec;
}

TEST(OpenVolume, WhatAWriterWroteIsRead) {
  const testing::TemporaryFolder folder;
  // With an extension of the store (in any case), or none: then the content decides.
  for (const char* file : {"a.h5", "b.HDF5", "c"}) {
    const OutputVolumeSpec spec = spec_of(folder / file);
    const OutputLayout made = create_output_volume(spec), layout = read_output_layout(spec.name);
    EXPECT_EQ(layout.base, made.base);
    VoxelBuffer voxels(spec.type, {2, 16, 30});
    for (std::size_t i = 0; i < voxels.as<std::uint16_t>().size(); ++i)
      voxels.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(i * 7 + 1);
    const Box block{{0, 0, 0}, {2, 16, 30}};
    const std::unique_ptr<VolumeWriter> writer = open_volume_writer(spec.name, layout);
    EXPECT_EQ(writer->write(block, voxels), crc32c(voxels.bytes));
    writer->sync();
    for (const int threads : {0, 2}) {
      const std::unique_ptr<Volume> volume = open_volume(spec.name, {.unpack_threads = threads});
      EXPECT_EQ(volume->info().shape, spec.shape);
      EXPECT_EQ(volume->read(block).bytes, voxels.bytes);
      EXPECT_EQ(volume->chunks_read(), 2);
    }
    EXPECT_EQ(read_volume_info(spec.name).type, spec.type);
  }
}

TEST(OpenVolume, ATreeHasGroupsAndDatasets) {
  const testing::TemporaryFolder folder;
  create_output_volume(spec_of(folder / "a.h5"));
  const std::unique_ptr<DatasetTree> tree = open_dataset_tree(folder / "a.h5");
  EXPECT_EQ(tree->kind_of("/"), DatasetTree::Kind::group);
  EXPECT_EQ(tree->kind_of("/volumes"), DatasetTree::Kind::group);
  EXPECT_EQ(tree->kind_of("/volumes/predictions/interior"), DatasetTree::Kind::dataset);
  EXPECT_EQ(tree->kind_of("/volumes/none/interior"), DatasetTree::Kind::nothing);
  EXPECT_THAT(tree->names_in("/volumes"), ::testing::ElementsAre("predictions"));
  EXPECT_THAT(message_of([&] { tree->names_in("/none"); }), HasSubstr("a.h5:/none"));
}

TEST(OpenVolume, AFileThatNoStoreReadsIsRejected) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "stack.tif") << "II*";
  EXPECT_THAT(message_of([&] {
                open_volume({folder / "stack.tif", "/raw"});
              }),
              AllOf(HasSubstr("stack.tif"), HasSubstr("(HDF5)"), HasSubstr("tessera import")));
  EXPECT_THAT(message_of([&] { open_volume({folder.path(), "/raw"}); }), HasSubstr("it is a folder"));
  EXPECT_THAT(message_of([&] {
                open_volume({folder / "none.raw", "/raw"});
              }),
              AllOf(HasSubstr("none.raw"), HasSubstr("No such file"), HasSubstr("this node")));
}

TEST(OpenVolume, AnExtensionDecidesWhateverTheFileHolds) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "text.h5") << "this is a text and no volume at all";
  EXPECT_THAT(message_of([&] {
                open_volume({folder / "text.h5", "/raw"});
              }),
              HasSubstr("text.h5 is not an HDF5 file"));
}

}  // namespace
}  // namespace tessera
