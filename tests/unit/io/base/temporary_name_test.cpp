#include "io/base/temporary_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <set>
#include <string>

#include "io/base/process_id.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
namespace fs = std::filesystem;

TEST(TemporaryName, IsNewEachTimeAndBesideItsTarget) {
  std::set<fs::path> names;
  for (int i = 0; i < 100; ++i)
    names.insert(temporary_name("some/folder/a.h5"));
  EXPECT_EQ(names.size(), 100U);
  EXPECT_EQ(names.begin()->parent_path(), "some/folder");
  EXPECT_TRUE(names.begin()->filename().string().starts_with("a.h5~"));
  EXPECT_EQ(names.begin()->extension(), ".tmp");
}

TEST(TemporaryName, FitsAFileNameHoweverLongItsTargetIs) {
  const std::string one(250, 'a');
  EXPECT_LE(temporary_name(one).string().size(), 255U);
  const auto begin_of = [](const std::string& name) { return name.substr(0, name.rfind('~')); };
  EXPECT_NE(begin_of(temporary_name(one)), begin_of(temporary_name(one + "b"))) << "shortened to one name";
}

TEST(StaleTemporaries, OfEndedProcessesAreRemovedAndNoOthers) {
  const testing::TemporaryFolder folder;
  const fs::path target = folder / "a.h5";
  ProcessId ended = this_process();
  ended.start += 1;
  ProcessId elsewhere = ended;
  elsewhere.host = "other";
  const auto name_by = [&](const std::string& stem, const ProcessId& process) {
    return folder / (stem + "~" + text_of(process) + "-1.tmp");
  };
  const fs::path stale = name_by("a.h5", ended),
                 stale_folder = folder / ("a.h5~" + text_of(ended) + "-2.tmp"),
                 fresh = name_by("a.h5", elsewhere), old = folder / ("a.h5~" + text_of(elsewhere) + "-2.tmp"),
                 mine = temporary_name(target), of_another = name_by("b.h5", ended),
                 foreign = folder / "a.h5~backup.tmp";
  for (const fs::path& file : {stale, fresh, old, mine, of_another, foreign, target})
    std::ofstream(file) << "x";
  fs::create_directories(stale_folder / "inside");
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(25));
  remove_stale_temporaries(target);
  EXPECT_FALSE(fs::exists(stale));
  EXPECT_FALSE(fs::exists(stale_folder));
  EXPECT_FALSE(fs::exists(old)) << "of another host, and nobody wrote to it for a day";
  for (const fs::path& kept : {fresh, mine, of_another, foreign, target})
    EXPECT_TRUE(fs::exists(kept)) << kept;

  fs::create_directory(folder / "below");
  const fs::path below = folder / "below" / of_another.filename();
  std::ofstream(below) << "x";
  const fs::path long_name = name_by(std::string(110, 'l') + "~01234567", ended);
  std::ofstream(long_name) << "x";
  remove_stale_temporaries_in(folder.path());
  EXPECT_FALSE(fs::exists(of_another));
  EXPECT_FALSE(fs::exists(long_name)) << "a shortened name";
  for (const fs::path& kept : {fresh, mine, foreign, target, below})
    EXPECT_TRUE(fs::exists(kept)) << kept;
}

TEST(ResolveLinks, FollowsThemToTheFileThatIsWritten) {
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "scratch");
  fs::create_symlink("scratch/real.h5", folder / "first.h5");  // relative to the link, and dangling
  fs::create_symlink(folder / "first.h5", folder / "second.h5");
  EXPECT_EQ(resolve_links(folder / "second.h5"), folder / "scratch/real.h5");
  EXPECT_EQ(resolve_links(folder / "none.h5"), folder / "none.h5");
  EXPECT_EQ(resolve_links(folder / "no_folder" / "none.h5"), folder / "no_folder" / "none.h5");
}

TEST(ResolveLinks, RejectsLoopsAndMissingFolders) {
  const testing::TemporaryFolder folder;
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  EXPECT_THAT(message_of([&] { resolve_links(folder / "a"); }),
              AllOf(HasSubstr("/a"), HasSubstr("lead back")));
  fs::create_symlink("unmounted/real.h5", folder / "c");
  EXPECT_THAT(message_of([&] { resolve_links(folder / "c"); }),
              AllOf(HasSubstr("/c"), HasSubstr("unmounted/real.h5"), HasSubstr("does not exist")));
}

}  // namespace
}  // namespace tessera
