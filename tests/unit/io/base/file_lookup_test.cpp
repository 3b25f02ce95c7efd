#include "io/base/file_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "io/base/file_bytes.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;
namespace fs = std::filesystem;

TEST(FileLookup, FilesAndFoldersAreFound) {
  const testing::TemporaryFolder folder;
  write_text_file(folder / "file", "text");
  fs::create_symlink(folder.path(), folder / "link");
  EXPECT_TRUE(file_exists(folder.path()));
  EXPECT_TRUE(is_folder(folder.path()));
  EXPECT_TRUE(is_folder(folder / "link"));
  EXPECT_TRUE(file_exists(folder / "file"));
  EXPECT_FALSE(is_folder(folder / "file"));
  EXPECT_FALSE(file_exists(folder / "none"));
  EXPECT_FALSE(file_exists(folder / "file" / "below"));
  EXPECT_FALSE(is_folder(folder / "none"));
  fs::create_symlink("none", folder / "dangling");
  EXPECT_FALSE(file_exists(folder / "dangling"));
}

TEST(FileLookup, AFailedLookIsNoMissingFile) {
  const testing::TemporaryFolder folder;
  fs::create_symlink("circle", folder / "circle");
  const auto is_told = AllOf(HasSubstr("cannot look for"), HasSubstr("circle"), HasSubstr("symbolic links"));
  EXPECT_THAT(message_of([&] { file_exists(folder / "circle"); }), is_told);
  EXPECT_THAT(message_of([&] { is_folder(folder / "circle"); }), is_told);
  EXPECT_THAT(message_of([&] { is_same_file(folder.path(), folder / "circle"); }), is_told);
}

TEST(FileLookup, OneFileHasManyNames) {
  const testing::TemporaryFolder folder;
  write_text_file(folder / "one", "same");
  write_text_file(folder / "other", "same");
  fs::create_symlink("one", folder / "link");
  fs::create_hard_link(folder / "one", folder / "hard");
  EXPECT_TRUE(is_same_file(folder / "one", folder / "one"));
  EXPECT_TRUE(is_same_file(folder / "one", folder / "link"));
  EXPECT_TRUE(is_same_file(folder / "hard", folder / "one"));
  EXPECT_FALSE(is_same_file(folder / "one", folder / "other"));
  EXPECT_FALSE(is_same_file(folder / "none", folder / "none"));
}

TEST(FileLookup, AFolderIsListedInOrder) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"b", "c", "a"})
    write_text_file(folder / name, name);
  EXPECT_THAT(paths_in(folder.path()), ElementsAre(folder / "a", folder / "b", folder / "c"));
  EXPECT_THAT(paths_in(folder / "none"), IsEmpty());
  EXPECT_THAT(message_of([&] { paths_in(folder / "a"); }), AllOf(HasSubstr("cannot list"), HasSubstr("a")));
}

}  // namespace
}  // namespace tessera
