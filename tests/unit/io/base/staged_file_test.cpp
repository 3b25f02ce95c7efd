#include "io/base/staged_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>

#include "io/base/error.h"
#include "io/base/process_id.h"
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

std::ptrdiff_t entries_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(StagedFile, IsGoneAfterAnError) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "a") << "old";
  fs::path aside;
  try {
    const StagedFile staged(folder / "a");
    aside = staged.path();
    std::ofstream(aside) << "half";
    EXPECT_TRUE(fs::exists(aside));
    throw Error("on the way");
  } catch (const Error&) {
  }
  EXPECT_FALSE(fs::exists(aside));
  EXPECT_EQ(text_of(folder / "a"), "old");
}

TEST(StagedFile, CommitPutsItInPlace) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "new" / "folder" / "a";
  fs::path aside;
  {
    StagedFile staged(file);
    aside = staged.path();
    EXPECT_EQ(aside.parent_path(), file.parent_path());
    std::ofstream(aside) << "new";
    staged.commit();
    EXPECT_EQ(text_of(file), "new");
  }
  EXPECT_EQ(text_of(file), "new");
  EXPECT_FALSE(fs::exists(aside));
}

TEST(StagedFile, TwoOfOneTargetDoNotMeet) {
  const testing::TemporaryFolder folder;
  StagedFile first(folder / "a"), second(folder / "a");
  EXPECT_NE(first.path(), second.path());
  std::ofstream(first.path()) << "first";
  std::ofstream(second.path()) << "second";
  first.commit();
  EXPECT_EQ(text_of(folder / "a"), "first");
  second.commit();
  EXPECT_EQ(text_of(folder / "a"), "second");
}

TEST(StagedFile, FoldersAndDevicesAreNotReplaced) {
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "a");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(message_of([&] { StagedFile(folder / "a"); }), AllOf(HasSubstr("/a: it is a folder")));
  EXPECT_THAT(message_of([&] { StagedFile(folder / "pipe"); }), AllOf(HasSubstr("device or a pipe")));
  EXPECT_EQ(folder.entries(), 2);
}

TEST(StagedFile, ALinkStaysAndItsTargetIsReplaced) {
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "scratch");
  std::ofstream(folder / "scratch" / "real") << "old";
  fs::create_symlink("scratch/real", folder / "link");
  fs::create_symlink("scratch/later", folder / "dangling");
  {
    StagedFile staged(folder / "link");
    EXPECT_EQ(staged.path().parent_path(), folder / "scratch") << "the space is needed there";
  }
  for (const char* name : {"link", "dangling"}) {
    replace_file(folder / name, bytes_of("new"));
    EXPECT_TRUE(fs::is_symlink(folder / name)) << name;
    EXPECT_EQ(text_of(folder / name), "new") << name;
  }
  EXPECT_EQ(text_of(folder / "scratch" / "real"), "new");
  EXPECT_EQ(entries_in(folder / "scratch"), 2);
}

TEST(StagedFile, LinksPlantedUnderTheOldTemporaryNameAreNotFollowed) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "victim") << "mine";
  fs::create_symlink(folder / "victim", folder / "a.tmp");
  replace_file(folder / "a", bytes_of("new"));
  EXPECT_EQ(text_of(folder / "victim"), "mine");
  EXPECT_EQ(text_of(folder / "a"), "new");
}

TEST(StagedFile, PermissionsOfTheReplacedFileAreKept) {
  const testing::TemporaryFolder folder;
  for (const mode_t mode : {0600U, 0664U, 0444U}) {
    std::ofstream(folder / "a") << "old";
    ASSERT_EQ(chmod((folder / "a").c_str(), mode), 0);
    StagedFile staged(folder / "a");
    struct stat found {};
    ASSERT_EQ(stat(staged.path().c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777 & ~(mode | 0600), 0U) << "others may read it for a while";
    staged.commit();
    ASSERT_EQ(stat((folder / "a").c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, mode);
    fs::remove(folder / "a");
  }
}

TEST(StagedFile, ClearsAwayWhatAKilledProcessLeft) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(testing::message_of_child([&] {
              const StagedFile staged(folder / "a");
              _exit(0);  // as a kill: no destructor
            }),
            "");
  EXPECT_EQ(folder.entries(), 1);
  const StagedFile staged(folder / "a");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(ReplaceFile, AFullDiskLeavesTheOldOne) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "a") << "old";
  const std::string message = testing::message_of_child([&] {
    testing::limit_file_size(1000);
    replace_file(folder / "a", bytes_of(std::string(1500, 'x')));
  });
  EXPECT_THAT(message, HasSubstr("ulimit -f"));
  EXPECT_EQ(text_of(folder / "a"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(CreateFile, NeverReplacesAFileOrFollowsALink) {
  const testing::TemporaryFolder folder;
  create_file(folder / "a", bytes_of("first"));
  EXPECT_THAT(message_of([&] { create_file(folder / "a", bytes_of("second")); }), HasSubstr("File exists"));
  fs::create_symlink("b", folder / "link");
  EXPECT_THAT(message_of([&] { create_file(folder / "link", bytes_of("x")); }), HasSubstr("File exists"));
  EXPECT_EQ(text_of(folder / "a"), "first");
  EXPECT_FALSE(fs::exists(folder / "b"));
}

}  // namespace
}  // namespace tessera
