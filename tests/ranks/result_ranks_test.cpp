// Tests packing and verifying a result on every number of ranks.
#include <cstring>
#include <memory>

#include "io/base/error.h"
#include "io/hdf5/packed_volume.h"
#include "io/stores/open_volume.h"
#include "pipeline/blocks/packing.h"
#include "pipeline/blocks/result_check.h"
#include "ranks.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

using testing::world;

const Index3 kShape{5, 70, 90}, kBlock{2, 32, 32}, kChunk{1, 16, 16};

struct Result {
  DatasetName name;
  OutputLayout layout;
  JournalContents journal;
};

/// A result of random voxels with a block of zeros, and its journal. The root writes the file.
Result make_result(const std::filesystem::path& file, VoxelType type) {
  Result result{{file, "/p"}, {}, {}};
  result.journal.head.blocks = BlockPlan(kShape, kBlock);
  on_root(world(), [&] {
    OutputVolumeSpec spec;
    spec.name = result.name;
    spec.type = type;
    spec.shape = kShape;
    spec.chunk = kChunk;
    create_output_volume(spec);
    const OutputLayout layout = read_output_layout(result.name);
    const auto writer = open_volume_writer(result.name, layout);
    std::uint32_t state = 5;
    for (std::int64_t id = 0; id < result.journal.head.blocks.count(); ++id) {
      const Box box = result.journal.head.blocks.block(id);
      VoxelBuffer voxels(type, box.shape());
      for (std::byte& byte : voxels.bytes)
        byte = id == 4 ? std::byte{0} : std::byte((state = state * 1664525U + 1013904223U) >> 29);
      result.journal.records.push_back({id, BlockOutcome::done, writer->write(box, voxels)});
    }
    writer->sync();
  });
  on_every_rank(world(), [&] { result.layout = read_output_layout(result.name); });
  return result;
}

std::vector<std::byte> voxels_of(const DatasetName& name) {
  const auto volume = open_volume(name);
  return volume->read(Box::of_shape(volume->info().shape)).bytes;
}

TEST(ResultRanks, APackedResultIsEqualWhenReadBack) {
  for (const VoxelType type : {VoxelType::uint8, VoxelType::float32}) {
    const testing::SharedFolder folder;
    const Result result = make_result(folder / "made.h5", type);
    const DatasetName target{folder / "packed.h5", "/p"};
    std::unique_ptr<PackedVolume> packed;
    on_root(world(), [&] { packed = std::make_unique<PackedVolume>(result.name, result.layout, target, 4); });
    const PackSums sums = pack_chunks(result.name.file, result.layout, 4, packed.get(), {}, world());
    on_root(world(), [&] {
      packed->close();
      packed->commit();
    });
    const ResultCheck check = check_blocks(target, result.journal, {}, world());
    if (!world().is_root()) continue;
    EXPECT_EQ(sums.chunks, volume_of(result.layout.grid()));
    EXPECT_GT(sums.empty_chunks, 0);
    EXPECT_LT(sums.packed_bytes, sums.bytes);
    EXPECT_EQ(voxels_of(target), voxels_of(result.name));
    EXPECT_EQ(check.blocks, result.journal.head.blocks.count());
    EXPECT_EQ(check.bytes, volume_of(kShape) * size_of(type));
    EXPECT_TRUE(check.damaged.empty());
  }
}

TEST(ResultRanks, DamagedBlocksAreFound) {
  const testing::SharedFolder folder;
  Result result = make_result(folder / "made.h5", VoxelType::uint8);
  on_root(world(), [&] {
    result.journal.records[3].crc ^= 1;
    result.journal.records[7].crc ^= 1;
    result.journal.records[8].outcome = BlockOutcome::skipped;
  });
  const ResultCheck check = check_blocks(result.name, result.journal, {}, world());
  if (!world().is_root()) return;
  EXPECT_EQ(check.blocks, result.journal.head.blocks.count() - 1);
  ASSERT_EQ(check.damaged.size(), 2U);
  EXPECT_EQ(check.damaged[0].id, 3);
  EXPECT_EQ(check.damaged[1].id, 7);
}

}  // namespace
}  // namespace tessera
