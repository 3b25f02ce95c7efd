#include "io/hdf5/parallel_chunk_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <random>

#include "io/base/error.h"
#include "io/hdf5/chunk_decoder.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/volume_reader.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/failing_threads.h"
#include "tests/unit/io/hdf5/created_dataset.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

struct FileCase {
  const char* what;
  hid_t type;
  std::vector<hsize_t> dims, chunk;
  bool shuffle = false;
  int gzip = 0;
};

/// A dataset of random small values. Unless `whole`, only the first column of chunks is stored.
std::filesystem::path make_file(const std::filesystem::path& file, const FileCase& c, bool whole) {
  const int rank = static_cast<int>(c.dims.size());
  Hdf5Handle opened = testing::create_file(file);
  Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(list.get(), rank, c.chunk.data());
  if (c.shuffle) H5Pset_shuffle(list.get());
  if (c.gzip > 0) H5Pset_deflate(list.get(), static_cast<unsigned>(c.gzip));
  Hdf5Handle dataset = testing::create_dataset(opened.get(), "/raw", c.type, c.dims, list.get());
  hsize_t values = 1;
  std::vector<hsize_t> written = c.dims;
  if (!whole) written.back() = c.chunk.back();  // the chunks behind are not stored
  for (const hsize_t dim : written)
    values *= dim;
  std::mt19937 random(5);
  std::vector<std::uint16_t> numbers(values);
  for (auto& number : numbers)
    number = static_cast<std::uint16_t>(random() % 200);
  const std::vector<hsize_t> start(written.size(), 0);
  Hdf5Handle memory(H5Screate_simple(rank, written.data(), nullptr), H5Sclose),
      space(H5Dget_space(dataset.get()), H5Sclose);
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, written.data(), nullptr);
  H5Dwrite(dataset.get(), H5T_NATIVE_UINT16, memory.get(), space.get(), H5P_DEFAULT, numbers.data());
  return file;
}

class Unpacking : public ::testing::TestWithParam<FileCase> {};

TEST_P(Unpacking, GivesWhatTheLibraryGives) {
  const testing::TemporaryFolder folder;
  for (const bool whole : {true, false}) {
    const DatasetName name{make_file(folder / (whole ? "whole.h5" : "part.h5"), GetParam(), whole), "/raw"};
    VolumeReader library(name), threads(name, {.unpack_threads = 3});
    const Index3 shape = library.info().shape;
    std::mt19937 random(9);
    for (int i = 0; i < 30; ++i) {
      Box box;
      for (int axis = 0; axis < 3; ++axis) {
        box.begin[axis] = static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(shape[axis]));
        box.end[axis] =
            box.begin[axis] + 1 +
            static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(shape[axis] - box.begin[axis]));
      }
      const VoxelBuffer expected = library.read(box), got = threads.read(box);
      ASSERT_EQ(got.bytes, expected.bytes) << to_string(box);
    }
    EXPECT_EQ(threads.chunks_read(), library.chunks_read());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, Unpacking,
    ::testing::Values(FileCase{"gzip", H5T_STD_U8LE, {9, 50, 70}, {4, 16, 32}, false, 4},
                      FileCase{"shuffled", H5T_STD_U16LE, {9, 50, 70}, {4, 16, 32}, true, 6},
                      FileCase{"shuffle_alone", H5T_IEEE_F32LE, {5, 33, 40}, {2, 16, 16}, true, 0},
                      FileCase{"channels", H5T_STD_U8LE, {3, 5, 33, 40}, {2, 2, 16, 16}, false, 1},
                      FileCase{"section", H5T_STD_U8LE, {133, 140}, {64, 48}, false, 1},
                      FileCase{"big_endian", H5T_STD_U16BE, {5, 33, 40}, {2, 16, 16}, true, 1},
                      FileCase{"no_filter", H5T_STD_U8LE, {5, 33, 40}, {2, 16, 16}, false, 0}),
    [](const auto& test) { return test.param.what; });

TEST(Unpacking, OfDamagedChunksIsAnError) {
  const testing::TemporaryFolder folder;
  const FileCase c{"", H5T_STD_U8LE, {8, 64, 64}, {8, 64, 64}, false, 6};
  const auto file = make_file(folder / "damaged.h5", c, true);
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file) / 2));
  bytes << std::string(500, 'x');
  bytes.close();
  VolumeReader reader({file, "/raw"}, {.unpack_threads = 2});
  try {
    reader.read(Box::of_shape({8, 64, 64}));
    FAIL() << "nothing was noticed";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("is the file damaged?"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("cannot read z [0, 8)"), std::string::npos) << error.what();
  }
}

TEST(Unpacking, TakesStreamsOfAWholeChunkOnly) {
  const Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_deflate(list.get(), 6);
  const ChunkDecoder decoder(list.get(), 1000);
  const auto packed = [](std::size_t bytes) {
    const std::vector<std::byte> values(bytes, std::byte{7});
    std::vector<std::byte> stream(compressBound(bytes));
    uLongf size = stream.size();
    compress(reinterpret_cast<Bytef*>(stream.data()), &size, reinterpret_cast<const Bytef*>(values.data()),
             bytes);
    stream.resize(size);
    return stream;
  };
  EXPECT_EQ(decoder.decode(packed(1000), 0), std::vector<std::byte>(1000, std::byte{7}));
  for (const std::size_t bytes : {0, 999, 1001}) {
    EXPECT_THROW(decoder.decode(packed(bytes), 0), Error) << bytes;
  }
  std::vector<std::byte> wrong_sum = packed(1000);
  wrong_sum.back() ^= std::byte{1};
  EXPECT_THROW(decoder.decode(wrong_sum, 0), Error);
  EXPECT_THROW(decoder.decode({}, 0), Error);
}

TEST(Unshuffle, PutsBytesTogetherAgain) {
  const std::vector<std::byte> shuffled{std::byte{1},  std::byte{2},  std::byte{3}, std::byte{11},
                                        std::byte{12}, std::byte{13}, std::byte{99}};
  std::vector<std::byte> values(7);
  unshuffle(shuffled, 2, values);
  EXPECT_EQ(values, (std::vector<std::byte>{std::byte{1}, std::byte{11}, std::byte{2}, std::byte{12},
                                            std::byte{3}, std::byte{13}, std::byte{99}}));
}

TEST(UnpackingThreads, ThatCannotStartAreAnError) {
  const testing::TemporaryFolder folder;
  const FileCase c{"", H5T_STD_U16LE, {8, 20, 20}, {2, 10, 10}, true, 4};
  const DatasetName name{make_file(folder / "f.h5", c, true), "/raw"};
  VolumeReader reader(name, {.unpack_threads = 3});
  const Box box{{0, 0, 0}, {8, 20, 20}};
  for (const int nth : {1, 2, 3}) {
    const testing::FailingThread failing(nth);
    EXPECT_THAT(testing::message_of([&] { reader.read(box); }),
                ::testing::HasSubstr("cannot start a thread to decompress chunks: "));
    EXPECT_TRUE(failing.has_failed());
  }
  EXPECT_EQ(reader.read(box).bytes, VolumeReader(name).read(box).bytes) << "when threads can start again";
}

}  // namespace
}  // namespace tessera
