#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/graph/block_graph_file.h"
#include "io/graph/object_table_file.h"
#include "tests/unit/workers/segment/golden_segmentation.h"

namespace tessera {
namespace {

const std::string kGoldenFolder = std::string(TESSERA_GOLDEN) + "/segmentation";

std::filesystem::path scratch_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "tessera-segment-XXXXXX").string();
  return mkdtemp(name.data());
}

/// The graph of a block inside a volume, with faces on all sides.
BlockGraph example_graph(SegmentMode mode, int smoothing, bool histograms) {
  const VoxelBuffer values = testing::golden_volume(kGoldenFolder, "odd", "uint8");
  BlockGraphOptions options;
  options.mode = mode;
  options.smoothing = smoothing;
  options.histograms = histograms;
  options.fragment_size = 5;
  const Box block{{4, 8, 6}, {12, 20, 15}};
  const VoxelBuffer part = testing::cut_out(values, box_to_read(block, values.shape, options));
  const BlockWeights weights = block_weights(part, nullptr, block, values.shape, {}, options);
  return build_block_graph(weights, find_basin_pieces(weights, options), options);
}

void expect_equal_graphs(const BlockGraph& a, const BlockGraph& b) {
  EXPECT_EQ(a.flags, b.flags);
  EXPECT_EQ(a.box, b.box);
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.size, b.size);
  EXPECT_EQ(a.bundles.a, b.bundles.a);
  EXPECT_EQ(a.bundles.b, b.bundles.b);
  EXPECT_EQ(a.bundles.sum, b.bundles.sum);
  EXPECT_EQ(a.bundles.count, b.bundles.count);
  EXPECT_EQ(a.bundles.saddle, b.bundles.saddle);
  EXPECT_EQ(a.bundles.edge, b.bundles.edge);
  EXPECT_EQ(a.bundles.bins, b.bundles.bins);
  EXPECT_EQ(a.bundles.bin, b.bundles.bin);
  EXPECT_EQ(a.bundles.bin_count, b.bundles.bin_count);
  EXPECT_EQ(a.overlaps.common, b.overlaps.common);
  EXPECT_EQ(a.cluster_of_piece, b.cluster_of_piece);
  EXPECT_EQ(a.piece_crc, b.piece_crc);
  for (std::size_t face = 0; face < 6; ++face) {
    ASSERT_TRUE(a.faces[face] && b.faces[face]);
    EXPECT_EQ(a.faces[face]->cluster, b.faces[face]->cluster);
    EXPECT_EQ(a.faces[face]->weight, b.faces[face]->weight);
    EXPECT_EQ(a.faces[face]->crosses, b.faces[face]->crosses);
    EXPECT_EQ(a.faces[face]->smoothed, b.faces[face]->smoothed);
  }
}

TEST(BlockGraphFile, ReadsWhatWasWritten) {
  const auto folder = scratch_folder();
  for (const SegmentMode mode : {SegmentMode::volume, SegmentMode::sections}) {
    for (const int smoothing : {0, 2}) {
      const BlockGraph graph = example_graph(mode, smoothing, smoothing == 2);
      EXPECT_GT(graph.bundles.a.size(), 0u);
      EXPECT_EQ(graph.overlaps.a.size() > 0, mode == SegmentMode::sections);
      const auto file = block_graph_file(folder, 12);
      EXPECT_EQ(file.filename(), "00000012.block");
      const std::uint32_t crc = write_block_graph(file, graph);
      const StoredBlockGraph stored = read_block_graph(file);
      EXPECT_EQ(stored.crc, crc);
      expect_equal_graphs(stored.graph, graph);
      const BlockGraph border = read_block_border(file, {false, true, false, false, true, false});
      EXPECT_EQ(border.name, graph.name);
      EXPECT_TRUE(border.bundles.a.empty());
      EXPECT_FALSE(border.faces[0]);
      EXPECT_EQ(border.faces[1]->cluster, graph.faces[1]->cluster);
      EXPECT_EQ(border.faces[4]->crosses, graph.faces[4]->crosses);
      EXPECT_EQ(border.faces[4]->smoothed, graph.faces[4]->smoothed);
    }
  }
  std::filesystem::remove_all(folder);
}

TEST(BlockGraphFile, OnlyHistogramsNeedTheSecondFormat) {
  const auto folder = scratch_folder();
  const auto file = block_graph_file(folder, 0);
  std::vector<std::byte> bytes[2];
  for (const bool histograms : {false, true}) {
    write_block_graph(file, example_graph(SegmentMode::volume, 0, histograms));
    bytes[histograms ? 1 : 0] = read_file_bytes(file);
    EXPECT_EQ(bytes[histograms ? 1 : 0].at(8), std::byte{static_cast<unsigned char>(histograms ? 2 : 1)});
  }
  EXPECT_LT(bytes[0].size(), bytes[1].size());
  std::filesystem::remove_all(folder);
}

TEST(BlockGraphFile, HistogramsHaveTheEdgesOfTheirBundles) {
  for (const SegmentMode mode : {SegmentMode::volume, SegmentMode::sections}) {
    const BlockBundles bundles = example_graph(mode, 0, true).bundles;
    ASSERT_EQ(bundles.bins.size(), bundles.a.size());
    std::size_t at = 0, several = 0;
    for (std::size_t i = 0; i < bundles.a.size(); ++i) {
      std::uint64_t count = 0, sum = 0;
      int last = -1;
      for (const std::size_t end = at + bundles.bins[i]; at < end; ++at) {
        EXPECT_GT(int{bundles.bin[at]}, last);
        last = bundles.bin[at];
        count += bundles.bin_count[at];
        sum += 257 * std::uint64_t{bundles.bin[at]} * bundles.bin_count[at];
      }
      EXPECT_EQ(count, bundles.count[i]);
      EXPECT_EQ(sum, bundles.sum[i]);  // the values have 8 bits
      EXPECT_EQ(257 * last, bundles.saddle[i]);
      several += bundles.bins[i] > 1 ? 1 : 0;
    }
    EXPECT_EQ(at, bundles.bin.size());
    EXPECT_GT(several, 100u);
  }
}

TEST(BlockGraphFile, EveryChangedByteIsFound) {
  const auto folder = scratch_folder();
  const auto file = block_graph_file(folder, 0);
  write_block_graph(file, example_graph(SegmentMode::volume, 0, true));
  const std::vector<std::byte> good = read_file_bytes(file);
  const auto write = [&](const std::vector<std::byte>& bytes) {
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  std::size_t tried = 0;
  for (std::size_t at = 0; at < good.size(); at += at < 140 ? 1 : 97) {
    std::vector<std::byte> bad = good;
    bad[at] ^= std::byte{0x41};
    write(bad);
    EXPECT_THROW(read_block_graph(file), Error) << "byte " << at;
    ++tried;
  }
  EXPECT_GT(tried, 150u);
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, good.size() - 1}) {
    write({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
    EXPECT_THROW(read_block_graph(file), Error);
    EXPECT_THROW(read_block_border(file, {true, true, true, true, true, true}), Error);
  }
  std::filesystem::remove_all(folder);
}

// read_block_border() compares no checksum, and the faces' clusters are used as indices.
TEST(BlockGraphFile, NumbersOfClustersAreThoseOfTheBlock) {
  const auto folder = scratch_folder();
  const auto file = block_graph_file(folder, 0);
  const BlockGraph good = example_graph(SegmentMode::volume, 0, false);
  constexpr std::array<bool, 6> kAll{true, true, true, true, true, true};
  const auto expect_rejected = [&](const BlockGraph& bad, bool in_border) {
    write_block_graph(file, bad);
    EXPECT_THROW(read_block_graph(file), Error);
    if (in_border) {
      EXPECT_THROW(read_block_border(file, kAll), Error);
    }
  };
  const auto clusters = static_cast<std::uint32_t>(good.name.size());
  for (std::size_t face = 0; face < 6; ++face) {
    BlockGraph bad = good;
    bad.faces[face]->cluster.back() = clusters;
    expect_rejected(bad, true);
    bad.faces[face]->cluster.back() = BlockGraph::kNoCluster;
    write_block_graph(file, bad);
    EXPECT_EQ(read_block_border(file, kAll).faces[face]->cluster.back(), BlockGraph::kNoCluster);
  }
  BlockGraph bad = good;
  bad.bundles.b.front() = clusters;
  expect_rejected(bad, false);
  bad = good;
  bad.cluster_of_piece.front() = BlockGraph::kNoCluster;
  expect_rejected(bad, false);
  std::filesystem::remove_all(folder);
}

TEST(ObjectTableFile, UnfinishedTablesAreRemoved) {
  const auto folder = scratch_folder();
  const auto file = folder / "tables";
  {
    const UnfinishedTables unfinished(file);
    ObjectTableFile::create(file, std::string(64, 'a'), std::vector<std::int64_t>{3});
    EXPECT_FALSE(std::filesystem::is_empty(folder));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  {
    const UnfinishedTables unfinished(file);
    ObjectTableFile::create(file, std::string(64, 'a'), std::vector<std::int64_t>{3});
    ObjectTableFile::put_in_place(file);
  }
  EXPECT_TRUE(std::filesystem::exists(file));
  std::filesystem::remove_all(folder);
}

TEST(ObjectTableFile, RejectsAnImpossibleNumberOfClusters) {
  const auto folder = scratch_folder();
  for (const std::vector<std::int64_t>& clusters : {std::vector<std::int64_t>{2, -1}, {3}}) {
    const auto file = folder / "tables";
    ObjectTableFile::create(file, std::string(64, 'a'), clusters);
    ObjectTableFile::put_in_place(file);  // without the tables of the blocks
    EXPECT_THROW(ObjectTables{file}, Error) << clusters.front();
  }
  std::filesystem::remove_all(folder);
}

TEST(ObjectTableFile, ReadsWhatSeveralWrote) {
  const auto folder = scratch_folder();
  const auto file = folder / "tables";
  const std::vector<std::int64_t> clusters{3, 0, 2};
  const std::string digest(64, 'a');
  ObjectTableFile::create(file, digest, clusters);
  {
    ObjectTableFile first(file, clusters), second(file, clusters);
    second.write(2, std::vector<std::uint64_t>{7, 9});
    first.write(0, std::vector<std::uint64_t>{1, 1, 5});
    first.write(1, {});
    first.sync();
  }
  EXPECT_THROW(ObjectTables{file}, Error);  // not under its name yet
  ObjectTableFile::put_in_place(file);
  const ObjectTables tables(file);
  EXPECT_EQ(tables.digest(), digest);
  EXPECT_EQ(tables.blocks(), 3);
  EXPECT_EQ(tables.read(0), (std::vector<std::uint64_t>{1, 1, 5}));
  EXPECT_TRUE(tables.read(1).empty());
  EXPECT_EQ(tables.read(2), (std::vector<std::uint64_t>{7, 9}));
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(-6, std::ios::end).put('\x55');
  EXPECT_THROW(ObjectTables(file).read(2), Error);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tessera
