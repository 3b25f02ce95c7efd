#include "io/hdf5/checkpoint_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <type_traits>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/hdf5/checksum_block.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_listing.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/child_process.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;
namespace fs = std::filesystem;

template <class T>
CheckpointArray array_of(std::vector<std::int64_t> shape, const std::vector<T>& values) {
  CheckpointArray array;
  array.type = std::is_same_v<T, float> ? CheckpointArray::Type::float32 : CheckpointArray::Type::int64;
  array.shape = std::move(shape);
  const auto bytes = std::as_bytes(std::span(values));
  array.bytes.assign(bytes.begin(), bytes.end());
  return array;
}

const std::vector<float> kWeights{1.5F, -2.25F, 3e-30F, 4e30F, 0.1F, std::numeric_limits<float>::infinity()};

Checkpoint example() {
  Checkpoint checkpoint;
  checkpoint.arrays["weights/convs.0.weight"] = array_of<float>({1, 2, 3}, kWeights);
  checkpoint.arrays["weights/norms.0.num_batches_tracked"] = array_of<std::int64_t>({}, {123456789012345});
  checkpoint.arrays["optimizer/momentum"] = array_of<float>({4}, {0, 1, 2, 3});
  checkpoint.texts["config"] = "model: {preset: unet2015}  # \xc3\xa9\n";
  checkpoint.texts["empty"] = "";
  checkpoint.counters["iteration"] = 4000;
  checkpoint.counters["negative"] = -1;
  checkpoint.numbers["normalisation"] = {127.5, 1.0 / 3};
  return checkpoint;
}

void expect_equal(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(a.texts, b.texts);
  EXPECT_EQ(a.counters, b.counters);
  EXPECT_EQ(a.numbers, b.numbers);
  ASSERT_EQ(a.arrays.size(), b.arrays.size());
  for (const auto& [path, array] : a.arrays) {
    ASSERT_EQ(b.arrays.count(path), 1U) << path;
    const CheckpointArray& other = b.arrays.at(path);
    EXPECT_EQ(array.type, other.type) << path;
    EXPECT_EQ(array.shape, other.shape) << path;
    EXPECT_EQ(array.bytes, other.bytes) << path;
  }
}

Checkpoint read_back(const fs::path& file) {
  return parse_checkpoint(read_file_bytes(file), file.string());
}

TEST(CheckpointFile, RoundTrip) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", example());
  expect_equal(example(), read_back(folder / "a.h5"));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(CheckpointFile, EveryWholeNumberIsExact) {
  const testing::TemporaryFolder folder;
  Checkpoint checkpoint = example();
  checkpoint.counters["large"] = (std::int64_t{1} << 53) + 1;
  checkpoint.counters["largest"] = std::numeric_limits<std::int64_t>::max();
  write_checkpoint_file(folder / "a.h5", checkpoint);
  expect_equal(checkpoint, read_back(folder / "a.h5"));
}

TEST(CheckpointFile, ALongConfigurationFits) {
  const testing::TemporaryFolder folder;
  Checkpoint checkpoint = example();
  checkpoint.texts["config"] = std::string(300'000, 'x');
  write_checkpoint_file(folder / "a.h5", checkpoint);
  expect_equal(checkpoint, read_back(folder / "a.h5"));
}

TEST(CheckpointFile, AnyFlippedByteOfAnArrayIsNoticed) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", example());
  const std::vector<std::byte> bytes = read_file_bytes(folder / "a.h5");
  const auto pattern = std::as_bytes(std::span(kWeights));
  const auto at = std::search(bytes.begin(), bytes.end(), pattern.begin(), pattern.end());
  ASSERT_NE(at, bytes.end());
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    std::vector<std::byte> damaged = bytes;
    damaged[static_cast<std::size_t>(at - bytes.begin()) + i] ^= std::byte{0x10};
    EXPECT_THAT(message_of([&] { parse_checkpoint(damaged, "a.h5"); }),
                AllOf(HasSubstr("a.h5"), HasSubstr("damaged"), HasSubstr("checksum")));
  }
}

TEST(CheckpointFile, TextsCountersAndNumbersAreCheckedToo) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", example());
  const std::vector<std::byte> bytes = read_file_bytes(folder / "a.h5");
  const double number = 127.5;
  const std::int64_t counter = 4000;
  const std::string text = "unet2015";
  for (const auto pattern : {std::as_bytes(std::span(&number, 1)), std::as_bytes(std::span(&counter, 1)),
                             std::as_bytes(std::span(text.data(), text.size()))}) {
    const auto at = std::search(bytes.begin(), bytes.end(), pattern.begin(), pattern.end());
    ASSERT_NE(at, bytes.end());
    std::vector<std::byte> damaged = bytes;
    damaged[static_cast<std::size_t>(at - bytes.begin())] ^= std::byte{1};
    EXPECT_THAT(message_of([&] { parse_checkpoint(damaged, "a.h5"); }), HasSubstr("damaged"));
  }
}

TEST(CheckpointFile, CutShortIsNoticed) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", example());
  const std::vector<std::byte> bytes = read_file_bytes(folder / "a.h5");
  for (const std::size_t kept :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    const std::vector<std::byte> part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(kept));
    EXPECT_THAT(message_of([&] { parse_checkpoint(part, "a.h5"); }),
                AllOf(HasSubstr("a.h5"), HasSubstr("damaged")))
        << kept << " bytes";
  }
}

/// A checkpoint whose groups HDF5 stores as B-trees and heaps, as those of a network.
Checkpoint many_arrays() {
  Checkpoint checkpoint = example();
  for (int i = 0; i < 12; ++i)
    checkpoint.arrays["weights/layer" + std::to_string(i)] = array_of<float>({6}, kWeights);
  return checkpoint;
}

/// A file of an earlier version, which has no checksum of its bytes.
std::vector<std::byte> earlier_format(const std::vector<std::byte>& bytes) {
  return {bytes.begin() + kChecksumBlockBytes, bytes.end()};
}

TEST(CheckpointFile, AnyDifferentByteOfTheFileIsNoticed) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", many_arrays());
  const std::vector<std::byte> bytes = read_file_bytes(folder / "a.h5");
  ASSERT_GT(bytes.size(), 4096U);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::vector<std::byte> damaged = bytes;
    damaged[at] ^= std::byte{1} << (at % 8);
    ASSERT_THAT(message_of([&] { parse_checkpoint(damaged, "a.h5"); }),
                AllOf(HasSubstr("a.h5"), HasSubstr("damaged")))
        << "byte " << at;
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_THAT(message_of([&] { parse_checkpoint(longer, "a.h5"); }), HasSubstr("damaged"));
}

TEST(CheckpointFile, EarlierFilesWithoutAChecksumOfTheirBytesAreRead) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", many_arrays());
  expect_equal(many_arrays(), parse_checkpoint(earlier_format(read_file_bytes(folder / "a.h5")), "a.h5"));
}

TEST(CheckpointFile, DamagedEarlierFilesEndInAMessage) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", many_arrays());
  const std::vector<std::byte> bytes = earlier_format(read_file_bytes(folder / "a.h5"));
  std::size_t rejected = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 29) {
    std::vector<std::byte> damaged = bytes;
    damaged[at] ^= std::byte{0xA5};
    try {
      expect_equal(many_arrays(), parse_checkpoint(damaged, "a.h5"));
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("damaged"));
      ++rejected;
    }
  }
  EXPECT_GT(rejected, 100U);
}

TEST(CheckpointFile, TheListingOfADamagedCheckpointIsAnError) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", example());
  EXPECT_FALSE(list_hdf5_file(folder / "a.h5").entries.empty());
  std::fstream file(folder / "a.h5", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(1000) << "damage";
  file.close();
  EXPECT_THAT(message_of([&] { list_hdf5_file(folder / "a.h5"); }),
              AllOf(HasSubstr("a.h5 is damaged"), HasSubstr("checksum")));
}

TEST(CheckpointFile, OtherFilesAreRejected) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "text.h5") << std::string(5000, 'x');
  EXPECT_THAT(message_of([&] { read_back(folder / "text.h5"); }),
              AllOf(HasSubstr("text.h5"), HasSubstr("no checkpoint")));
  Hdf5Handle(H5Fcreate((folder / "other.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose)
      .reset();
  EXPECT_THAT(message_of([&] { read_back(folder / "other.h5"); }),
              AllOf(HasSubstr("other.h5"), HasSubstr("format mark is missing")));
  EXPECT_THAT(message_of([&] { read_back(folder / "none.h5"); }),
              AllOf(HasSubstr("none.h5"), HasSubstr("No such file")));
  EXPECT_THAT(message_of([&] { read_back(folder.path()); }), HasSubstr("cannot"));
}

TEST(CheckpointFile, TheOldOneSurvivesAFailingWrite) {
  const testing::TemporaryFolder folder;
  write_checkpoint_file(folder / "a.h5", example());
  Checkpoint larger = example();
  larger.arrays["weights/large"] = array_of<float>({1 << 18}, std::vector<float>(1 << 18));
  larger.counters["iteration"] = 5000;
  const std::string message = testing::message_of_child([&] {
    testing::limit_file_size(1 << 18);
    write_checkpoint_file(folder / "a.h5", larger);
  });
  EXPECT_THAT(message, AllOf(HasSubstr("cannot"), AnyOf(HasSubstr("a.h5"), HasSubstr("weights/large"))));
  expect_equal(example(), read_back(folder / "a.h5"));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(CheckpointFile, AFolderThatIsNotWritableIsReported) {
  const testing::TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const std::string message = testing::message_of_child([&] {
    testing::become_ordinary_user();
    write_checkpoint_file(folder / "a.h5", example());
  });
  fs::permissions(folder.path(), fs::perms::owner_all);
  EXPECT_THAT(message, AllOf(HasSubstr("a.h5"), HasSubstr("Permission denied")));
}

TEST(CheckpointFolder, NewestFirstAndTheBestStays) {
  const testing::TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  EXPECT_THAT(checkpoints.newest_first(), IsEmpty());
  EXPECT_THAT(CheckpointFolder(folder / "none").newest_first(), IsEmpty());
  for (const std::int64_t iteration : {100, 20, 3000})
    std::ofstream(checkpoints.at_iteration(iteration)) << "x";
  std::ofstream(checkpoints.best()) << "x";
  std::ofstream(folder / "iteration_00004000.h5.tmp") << "x";
  EXPECT_EQ(checkpoints.at_iteration(100).filename(), "iteration_00000100.h5");
  EXPECT_THAT(checkpoints.newest_first(),
              ElementsAre(checkpoints.at_iteration(3000), checkpoints.at_iteration(100),
                          checkpoints.at_iteration(20)));
  checkpoints.keep_newest(1, 100);  // 3000 is damaged, and the training resumed from 20
  EXPECT_THAT(checkpoints.newest_first(),
              ElementsAre(checkpoints.at_iteration(3000), checkpoints.at_iteration(100)));
  checkpoints.keep_newest(2, 3000);
  EXPECT_THAT(checkpoints.newest_first(),
              ElementsAre(checkpoints.at_iteration(3000), checkpoints.at_iteration(100)));
  checkpoints.keep_newest(5, 3000);
  EXPECT_EQ(checkpoints.newest_first().size(), 2U);
  checkpoints.keep_newest(0, 3000);
  EXPECT_THAT(checkpoints.newest_first(), IsEmpty());
  EXPECT_TRUE(fs::exists(checkpoints.best()));
  checkpoints.remove_unfinished();
  EXPECT_FALSE(fs::exists(folder / "iteration_00004000.h5.tmp"));
  EXPECT_TRUE(fs::exists(checkpoints.best()));
  CheckpointFolder(folder / "none").remove_unfinished();
}

}  // namespace
}  // namespace tessera
