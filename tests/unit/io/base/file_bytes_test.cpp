#include "io/base/file_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <type_traits>

#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
namespace fs = std::filesystem;

constexpr auto write_file_of = [](const auto& file, const auto& text) requires requires {
  write_text_file(file, text);
}
{ write_text_file(file, text); };

static_assert(std::is_invocable_v<decltype(write_file_of), fs::path, std::string>);
static_assert(!std::is_invocable_v<decltype(write_file_of), std::string, fs::path>, "swapped");
static_assert(!std::is_invocable_v<decltype(write_file_of), std::string, std::string>,
              "either may be the file");
static_assert(!std::is_invocable_v<decltype(write_file_of), const char*, fs::path>, "swapped");
static_assert(!std::is_invocable_v<decltype(write_file_of), fs::path, fs::path>, "a path is no text");

TEST(FileBytes, ATextIsReadAsItWasWritten) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "deep" / "a.txt";
  const std::string text("one\ntwo\0three", 13);
  write_text_file(file, "the old text");
  write_text_file(file, text);
  const std::vector<std::byte> bytes = read_file_bytes(file);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), text);
  EXPECT_EQ(std::distance(fs::directory_iterator(file.parent_path()), fs::directory_iterator()), 1);
  write_text_file(file, "");
  EXPECT_TRUE(read_file_bytes(file).empty());
}

TEST(FileBytes, AFileThatCannotBeReadIsNamed) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT(message_of([&] { read_file_bytes(folder / "none"); }),
              AllOf(HasSubstr("cannot open"), HasSubstr("none"), HasSubstr("No such file")));
  EXPECT_THAT(message_of([&] { read_file_bytes(folder.path()); }), HasSubstr("cannot open"));
}

TEST(FileBytes, ALongTextIsRejected) {
  const testing::TemporaryFolder folder;
  write_text_file(folder / "t", "12345");
  EXPECT_EQ(file_text(folder / "t", 5), "12345");
  EXPECT_THAT(message_of([&] { file_text(folder / "t", 4); }), HasSubstr("more than"));
}

}  // namespace
}  // namespace tessera
