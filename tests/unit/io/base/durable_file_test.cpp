#include "io/base/durable_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/child_process.h"
#include "tests/unit/io/base/file_text.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using testing::bytes_of;
using ::testing::HasSubstr;
using testing::message_of;
using testing::text_of;
namespace fs = std::filesystem;

TEST(DurableFile, WriteFullyWritesAtItsOffset) {
  const testing::TemporaryFolder folder;
  const FileDescriptor file(folder / "a", O_RDWR | O_CREAT);
  write_fully(file.get(), bytes_of("world"), 6, "a");
  write_fully(file.get(), bytes_of("hello "), 0, "a");
  write_fully(file.get(), {}, 100, "a");
  EXPECT_EQ(text_of(folder / "a"), "hello world");
}

TEST(DurableFile, RemoveQuietlyRemovesFilesAndFolders) {
  const testing::TemporaryFolder folder;
  fs::create_directories(folder / "a/b");
  std::ofstream(folder / "a/b/c") << "c";
  std::ofstream(folder / "d") << "d";
  for (const char* name : {"a", "d", "missing", "a/b"})
    remove_quietly(folder / name);
  EXPECT_TRUE(fs::is_empty(folder / "."));
}

// At the limit, the first call writes a part; only the second one fails.
TEST(DurableFile, WriteFullyGoesOnAfterAShortWriteAndSaysWhatStopsIt) {
  const testing::TemporaryFolder folder;
  const std::string message = testing::message_of_child([&] {
    testing::limit_file_size(1000);
    const FileDescriptor file(folder / "a", O_RDWR | O_CREAT);
    write_fully(file.get(), bytes_of(std::string(1500, 'x')), 0, folder / "a");
  });
  EXPECT_THAT(message,
              AllOf(HasSubstr("cannot write 500 bytes at 1000"), HasSubstr("/a"), HasSubstr("ulimit -f")));
  EXPECT_EQ(fs::file_size(folder / "a"), 1000U);
}

TEST(DurableFile, AFullDiskIsToldApart) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const FileDescriptor full("/dev/full", O_WRONLY);
  EXPECT_THAT(message_of([&] { write_fully(full.get(), bytes_of("x"), 0, "out.h5"); }),
              AllOf(HasSubstr("out.h5"), HasSubstr("No space left on device"), HasSubstr("free some space")));
}

TEST(DurableFile, AFolderThatIsNotWritableIsReported) {
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "mine");
  fs::permissions(folder / "mine", fs::perms::owner_read | fs::perms::owner_exec);
  const std::string message = testing::message_of_child([&] {
    testing::become_ordinary_user();
    const FileDescriptor file(folder / "mine" / "a", O_RDWR | O_CREAT);
  });
  EXPECT_THAT(message, AllOf(HasSubstr("mine/a"), HasSubstr("Permission denied"), HasSubstr("writable")));
}

TEST(DurableFile, FreeSpaceIsComparedInBothNumbers) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(message_of([&] { require_free_space(folder / "a", 1); }), "no error");
  EXPECT_THAT(message_of([&] { require_free_space(folder / "a", std::int64_t{1} << 60); }),
              AllOf(HasSubstr("no room for"), HasSubstr("it needs 1024 PiB"), HasSubstr("are free")));
  EXPECT_THAT(message_of([&] { require_free_space(folder / "none" / "a", 1); }), HasSubstr("No such file"));
}

TEST(DurableFile, ReservedSpaceIsOnTheDisk) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "a") << "kept";
  reserve_space(folder / "a", 1 << 20);
  struct stat found {};
  ASSERT_EQ(stat((folder / "a").c_str(), &found), 0);
  EXPECT_EQ(found.st_size, 1 << 20);
  EXPECT_GE(found.st_blocks * 512, 1 << 20);
  EXPECT_EQ(text_of(folder / "a").substr(0, 4), "kept");
  const std::string message = testing::message_of_child([&] {
    testing::limit_file_size(1 << 20);
    reserve_space(folder / "a", 3 << 20);
  });
  EXPECT_THAT(message, AllOf(HasSubstr("reserve 3.0 MiB"), HasSubstr("/a"), HasSubstr("File too large")));
}

TEST(DurableFile, DescriptorsHaveOneOwner) {
  const testing::TemporaryFolder folder;
  FileDescriptor first(folder / "a", O_RDWR | O_CREAT);
  const int number = first.get();
  FileDescriptor second(std::move(first));
  EXPECT_EQ(second.get(), number);
  {
    FileDescriptor third;
    third = std::move(second);
    EXPECT_EQ(third.get(), number);
    EXPECT_NE(fcntl(number, F_GETFD), -1);
  }
  EXPECT_EQ(fcntl(number, F_GETFD), -1) << "still open";
}

TEST(DurableFile, BytesAsPeopleReadThem) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(17), "17 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1024), "1.0 KiB");
  EXPECT_EQ(bytes_text(3 << 19), "1.5 MiB");
  EXPECT_EQ(bytes_text(std::int64_t{312} << 20), "312 MiB");
  EXPECT_EQ(bytes_text(std::int64_t{5} << 40), "5.0 TiB");
}

}  // namespace
}  // namespace tessera
