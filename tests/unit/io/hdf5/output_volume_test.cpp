#include "io/hdf5/output_volume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <random>
#include <set>
#include <thread>

#include "io/base/crc32c.h"
#include "io/base/error.h"
#include "io/geometry/block_plan.h"
#include "io/hdf5/volume_file.h"
#include "io/hdf5/volume_reader.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/child_process.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
namespace fs = std::filesystem;

/// Voxels that differ between neighbouring positions and blocks.
VoxelBuffer voxels_of(const Box& box, VoxelType type) {
  VoxelBuffer buffer(type, box.shape());
  with_voxel_type(type, [&](auto zero) {
    using T = decltype(zero);
    auto values = buffer.as<T>();
    std::size_t i = 0;
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
        for (std::int64_t x = box.begin.x; x < box.end.x; ++x)
          values[i++] = static_cast<T>((z * 89 + y * 31 + x * 7) % 251 + 1);
      }
    }
  });
  return buffer;
}

OutputVolumeSpec spec_in(const testing::TemporaryFolder& folder, VoxelType type = VoxelType::uint8) {
  OutputVolumeSpec spec;
  spec.name = {folder / "out.h5", "/volumes/predictions/interior"};
  spec.type = type;
  spec.shape = {7, 50, 61};
  spec.chunk = {2, 16, 32};
  return spec;
}

VolumeSpec raw_spec(const Index3& shape, int gzip) {
  VolumeSpec spec;
  spec.shape = shape;
  spec.chunk = {2, 16, 16};
  spec.gzip = gzip;
  return spec;
}

void write_raw(const fs::path& file, const VolumeSpec& spec) {
  VolumeFile volume(file, false);
  volume.add(spec, false);
  volume.write_sections(spec.path, 0, voxels_of(Box::of_shape(spec.shape), spec.type));
  volume.commit();
}

class OutputVolume : public ::testing::TestWithParam<VoxelType> {};

TEST_P(OutputVolume, BlocksOfSeveralWritersInAnyOrder) {
  const testing::TemporaryFolder folder;
  const OutputVolumeSpec spec = spec_in(folder, GetParam());
  const OutputLayout layout = create_hdf5_output(spec);
  const BlockPlan plan(spec.shape, {4, 32, 32});
  std::vector<BlockWriter> writers;
  for (int w = 0; w < 3; ++w)
    writers.emplace_back(spec.name.file, layout);
  std::vector<std::int64_t> order = plan.hand_out_order();
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Box block = plan.block(order[i]);
    const VoxelBuffer voxels = voxels_of(block, spec.type);
    EXPECT_EQ(writers[i % 3].write(block, voxels), crc32c(voxels.bytes));
  }
  for (BlockWriter& writer : writers)
    writer.sync();
  VolumeReader reader(spec.name);
  EXPECT_EQ(reader.info().type, spec.type);
  EXPECT_EQ(reader.info().shape, spec.shape);
  EXPECT_EQ(*reader.info().chunk, spec.chunk);
  EXPECT_EQ(reader.read(Box::of_shape(spec.shape)).bytes,
            voxels_of(Box::of_shape(spec.shape), spec.type).bytes);
}

TEST_P(OutputVolume, TheLayoutIsThatOfTheFile) {
  const testing::TemporaryFolder folder;
  const OutputVolumeSpec spec = spec_in(folder, GetParam());
  const OutputLayout made = create_hdf5_output(spec), read = read_hdf5_output_layout(spec.name);
  EXPECT_GT(made.base, 0);
  EXPECT_EQ(read.base, made.base);
  EXPECT_EQ(read.type, spec.type);
  EXPECT_EQ(read.shape, spec.shape);
  EXPECT_EQ(read.chunk, spec.chunk);
  EXPECT_EQ(read.grid(), (Index3{4, 4, 2}));
  EXPECT_EQ(read.chunk_offset({1, 2, 1}), made.base + 13 * made.chunk_bytes());
  EXPECT_EQ(made.chunk_bytes(), 2 * 16 * 32 * size_of(spec.type));
}

TEST(OutputVolumeFile, AWriterComparesTheMarkOfItsResult) {
  const testing::TemporaryFolder folder;
  OutputVolumeSpec spec = spec_in(folder);
  spec.attributes = {{"config", std::string(100'000, 'x')}, {"instance", "0123456789abcdef0123456789abcdef"}};
  const OutputLayout layout = create_hdf5_output(spec);
  EXPECT_EQ(layout.mark, "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(read_hdf5_output_layout(spec.name).mark_at, layout.mark_at);
  EXPECT_EQ(message_of([&] { BlockWriter(spec.name.file, layout); }), "no error");
  OutputVolumeSpec other = spec;
  other.attributes["instance"][0] = 'f';
  create_hdf5_output(other);
  fs::rename(spec.name.file, folder / "others.h5");
  create_hdf5_output(spec);
  fs::rename(spec.name.file, folder / "mine.h5");
  fs::rename(folder / "others.h5", spec.name.file);
  std::thread later([&] {  // as a file system that shows the new file late
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    fs::rename(folder / "mine.h5", spec.name.file);
  });
  EXPECT_EQ(message_of([&] { BlockWriter(spec.name.file, layout); }), "no error");
  later.join();
}

INSTANTIATE_TEST_SUITE_P(Types, OutputVolume, ::testing::Values(VoxelType::uint8, VoxelType::float32),
                         [](const auto& type) { return std::string(name_of(type.param)); });

TEST(OutputVolumeFile, EveryByteIsReservedBeforeTheFirstBlock) {
  const testing::TemporaryFolder folder;
  OutputVolumeSpec spec = spec_in(folder);
  spec.shape = {33, 500, 500};
  spec.chunk = {4, 256, 256};
  const OutputLayout layout = create_hdf5_output(spec);
  const std::int64_t payload = volume_of(layout.grid()) * layout.chunk_bytes();
  struct stat found {};
  ASSERT_EQ(stat(spec.name.file.c_str(), &found), 0);
  EXPECT_GE(found.st_blocks * 512, payload);
  EXPECT_GE(found.st_size, layout.base + payload);
  EXPECT_LT(found.st_size, payload + (4 << 20));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(OutputVolumeFile, AttributesAndTheLinkToTheRawVolume) {
  const testing::TemporaryFolder folder;
  const Index3 shape{3, 20, 30};
  write_raw(folder / "raw.h5", raw_spec(shape, 4));
  OutputVolumeSpec spec = spec_in(folder);
  spec.name.file = folder / "runs" / "isbi" / "out.h5";
  spec.shape = shape;
  spec.chunk = {2, 16, 16};
  spec.resolution_nm = {50, 4, 4};
  spec.offset_nm = {100, 0, 8};
  spec.attributes["version"] = "tessera 1";
  spec.raw = DatasetName{folder / "raw.h5", "/volumes/raw"};
  create_hdf5_output(spec);
  const VolumeInfo info = VolumeReader(spec.name).info();
  EXPECT_THAT(info.resolution_nm, ElementsAre(50, 4, 4));
  EXPECT_THAT(info.offset_nm, ElementsAre(100, 0, 8));
  EXPECT_EQ(info.attributes.at("version"), "tessera 1");
  VolumeReader linked({spec.name.file, "/volumes/raw"});
  EXPECT_EQ(linked.read(Box::of_shape(shape)).bytes, voxels_of(Box::of_shape(shape), VoxelType::uint8).bytes);
}

TEST(OutputVolumeFile, AResultCalledRawIsNotLinkedOver) {
  const testing::TemporaryFolder folder;
  write_raw(folder / "raw.h5", raw_spec({3, 20, 30}, 0));
  OutputVolumeSpec spec = spec_in(folder);
  spec.name.path = "/volumes/raw";
  spec.raw = DatasetName{folder / "raw.h5", "/volumes/raw"};
  create_hdf5_output(spec);
  EXPECT_EQ(VolumeReader(spec.name).info().shape, spec.shape);
}

TEST(OutputVolumeFile, OtherVolumesAreNotTakenForResults) {
  const testing::TemporaryFolder folder;
  write_raw(folder / "raw.h5", raw_spec({3, 20, 30}, 4));
  EXPECT_THAT(message_of([&] {
                read_hdf5_output_layout({folder / "raw.h5", "/volumes/raw"});
              }),
              AllOf(HasSubstr("raw.h5:/volumes/raw"), HasSubstr("not made by 'tessera infer'")));
}

TEST(OutputVolumeFile, AFullDiskIsReportedAndNoFileIsLeft) {
  const testing::TemporaryFolder folder;
  OutputVolumeSpec spec = spec_in(folder);
  spec.shape = {64, 512, 512};
  const std::string message = testing::message_of_child([&] {
    testing::limit_file_size(8 << 20);
    create_hdf5_output(spec);
  });
  EXPECT_THAT(message, AllOf(HasSubstr("out.h5"), HasSubstr("cannot"),
                             AnyOf(HasSubstr("ulimit"), HasSubstr("too large"))));
  EXPECT_TRUE(fs::is_empty(folder.path()));
  spec.shape = {1 << 20, 1 << 20, 1 << 20};
  EXPECT_THAT(message_of([&] { create_hdf5_output(spec); }),
              AllOf(HasSubstr("no room"), HasSubstr("out.h5")));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(OutputVolumeFile, AFolderThatIsNotWritableIsReported) {
  const testing::TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const std::string message = testing::message_of_child([&] {
    testing::become_ordinary_user();
    create_hdf5_output(spec_in(folder));
  });
  fs::permissions(folder.path(), fs::perms::owner_all);
  EXPECT_THAT(message, AllOf(HasSubstr("out.h5"), HasSubstr("Permission denied"), HasSubstr("writable")));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

/// Creates a result and writes each block once. Sends the id of each block that is on the disk to `report`.
[[noreturn]] void write_until_killed(const OutputVolumeSpec& spec, const BlockPlan& plan, int report) {
  const OutputLayout layout = create_hdf5_output(spec);
  BlockWriter writer(spec.name.file, layout);
  for (const std::int64_t id : plan.hand_out_order()) {
    const Box block = plan.block(id);
    writer.write(block, voxels_of(block, spec.type));
    writer.sync();
    if (write(report, &id, sizeof id) != sizeof id) _exit(1);
  }
  for (;;)
    pause();
}

TEST(OutputVolumeFile, NoKillLosesAnAcknowledgedBlock) {
  std::mt19937 random(2);
  std::size_t blocks_kept = 0;
  for (int trial = 0; trial < 10; ++trial) {
    const testing::TemporaryFolder folder;
    OutputVolumeSpec spec = spec_in(folder);
    spec.shape = {63, 127, 125};
    const BlockPlan plan(spec.shape, {2, 16, 32});
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    const pid_t child = fork();
    if (child == 0) {
      try {
        write_until_killed(spec, plan, ends[1]);
      } catch (...) {
        _exit(1);
      }
    }
    close(ends[1]);
    std::int64_t id = 0;
    std::set<std::int64_t> acknowledged;
    // Trial 0 may kill while the file is created. The others wait for blocks, however slow the machine is.
    bool started = true;
    for (int wanted = trial == 0 ? 0 : 3; wanted > 0 && started; --wanted) {
      started = read(ends[0], &id, sizeof id) == sizeof id;
      if (started) acknowledged.insert(id);
    }
    usleep(static_cast<useconds_t>(random() % 20'000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(started);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    while (read(ends[0], &id, sizeof id) == sizeof id)
      acknowledged.insert(id);
    close(ends[0]);
    if (!fs::exists(spec.name.file)) {
      ASSERT_TRUE(acknowledged.empty());
      continue;
    }
    VolumeReader reader(spec.name);
    for (const std::int64_t block : acknowledged) {
      const Box box = plan.block(block);
      ASSERT_EQ(reader.read(box).bytes, voxels_of(box, spec.type).bytes)
          << "trial " << trial << ", block " << block;
    }
    blocks_kept += acknowledged.size();
  }
  EXPECT_GE(blocks_kept, 27U);
}

}  // namespace
}  // namespace tessera
