#include "io/base/replace_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>

#include "io/base/process_id.h"
#include "io/base/temporary_name.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using testing::message_of;
namespace fs = std::filesystem;

void make_folder(const fs::path& folder, const std::string& text) {
  fs::create_directories(folder / "deep");
  std::ofstream(folder / "deep" / "file") << text;
}

std::string text_in(const fs::path& folder) {
  std::ifstream in(folder / "deep" / "file");
  return {std::istreambuf_iterator<char>(in), {}};
}

class Replacing : public ::testing::TestWithParam<NameExchange> {};
INSTANTIATE_TEST_SUITE_P(BothWays, Replacing,
                         ::testing::Values(NameExchange::one_step, NameExchange::two_renames));

TEST_P(Replacing, TheNewOneStandsAndTheOldOneIsGone) {
  const testing::TemporaryFolder folder;
  make_folder(folder / "new", "new");
  make_folder(folder / "out", "old");
  std::ofstream(folder / "out" / "more") << "x";
  ASSERT_EQ(chmod((folder / "out").c_str(), 0750), 0);
  replace_folder(folder / "new", folder / "out", GetParam());
  EXPECT_EQ(text_in(folder / "out"), "new");
  EXPECT_FALSE(fs::exists(folder / "out" / "more"));
  struct stat found {};
  ASSERT_EQ(stat((folder / "out").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0750U);
  EXPECT_EQ(folder.entries(), 1);
}

TEST_P(Replacing, ATargetThatDoesNotExistIsMade) {
  const testing::TemporaryFolder folder;
  make_folder(folder / "new", "new");
  replace_folder(folder / "new", folder / "out", GetParam());
  EXPECT_EQ(text_in(folder / "out"), "new");
  EXPECT_EQ(folder.entries(), 1);
}

TEST_P(Replacing, AnErrorLeavesTheOldOne) {
  const testing::TemporaryFolder folder;
  make_folder(folder / "out", "old");
  EXPECT_NE(message_of([&] { replace_folder(folder / "none", folder / "out", GetParam()); }), "no error");
  EXPECT_EQ(text_in(folder / "out"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

/// What a kill between the two renames leaves, and one before the removal.
TEST(MendReplacedFolder, PutsTheOldOneBackOrRemovesIt) {
  const testing::TemporaryFolder folder;
  const fs::path aside = temporary_name(folder / "out~replaced");
  make_folder(aside, "old");
  mend_replaced_folder(folder / "out");
  EXPECT_EQ(text_in(folder / "out"), "old");
  EXPECT_FALSE(fs::exists(aside));
  make_folder(aside, "older");
  mend_replaced_folder(folder / "out");
  EXPECT_EQ(text_in(folder / "out"), "old");
  EXPECT_FALSE(fs::exists(aside));
  mend_replaced_folder(folder / "out");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(MendReplacedFolder, StaleTemporariesOfATargetAreNotThoseOfItsOldFolder) {
  const testing::TemporaryFolder folder;
  ProcessId ended = this_process();
  ended.start += 1;
  const fs::path aside = folder / ("out~replaced~" + text_of(ended) + "-1.tmp");
  make_folder(aside, "old");
  remove_stale_temporaries(folder / "out");
  EXPECT_EQ(text_in(aside), "old");
}

}  // namespace
}  // namespace tessera
