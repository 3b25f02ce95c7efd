#include "pipeline/train/training_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/file_text.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::text_of;
namespace fs = std::filesystem;

/// A run folder with an old training, and other files.
class OldTraining : public ::testing::Test {
 protected:
  OldTraining() {
    write(run.path(), "old");
    std::ofstream(run.path() / "inference.json") << "kept";
  }

  /// What a training writes up to its first checkpoint.
  static void write(const fs::path& place, const std::string& text) {
    for (const char* file : {"checkpoints/iteration_00000010.h5", "checkpoints/best.h5", "previews/a.png",
                             "metrics.csv", "training.json", "config.yaml", "version.txt"}) {
      fs::create_directories((place / file).parent_path());
      std::ofstream(place / file) << text;
    }
  }
  /// "old" or "new", when every file is of it; else "mixed".
  std::string content() const {
    const std::string text = text_of(run.path() / "metrics.csv");
    for (const char* file : {"checkpoints/iteration_00000010.h5", "checkpoints/best.h5", "previews/a.png",
                             "training.json", "config.yaml", "version.txt"}) {
      if (text_of(run.path() / file) != text) return "mixed";
    }
    return text;
  }
  bool is_clean() const {
    return !fs::exists(run.path() / "next_training") && text_of(run.path() / "inference.json") == "kept" &&
           std::distance(fs::directory_iterator(run.path() / "checkpoints"), fs::directory_iterator()) == 2;
  }

  testing::TemporaryFolder folder;
  RunFolder run{folder / "run"};
  TrainingPlace place{run};
};

TEST_F(OldTraining, StaysUntilTheFirstCheckpointOfTheNewOne) {
  place.prepare(ExistingRun::overwrite, 1);
  EXPECT_TRUE(place.replaces());
  EXPECT_NE(place.current().path(), run.path());
  write(place.current().path(), "new");
  EXPECT_EQ(content(), "old");
  const RunFolder& current = place.current();
  place.take_over();
  EXPECT_EQ(current.path(), run.path());
  EXPECT_EQ(content(), "new");
  EXPECT_TRUE(is_clean());
  place.take_over();  // at every checkpoint
  EXPECT_EQ(content(), "new");
}

TEST_F(OldTraining, StaysWhenTheNewOneFails) {
  place.prepare(ExistingRun::overwrite, 1);
  write(place.current().path(), "new");
  place.give_up();
  EXPECT_EQ(content(), "old");
  EXPECT_TRUE(is_clean());
}

TEST_F(OldTraining, StaysWhenTheDiskHasNoRoom) {
  EXPECT_THAT(message_of([&] { place.prepare(ExistingRun::overwrite, std::int64_t{1} << 60); }),
              HasSubstr("no room"));
  EXPECT_EQ(content(), "old");
  EXPECT_TRUE(is_clean());
}

TEST_F(OldTraining, IsNotReplacedUnasked) {
  EXPECT_THAT(message_of([&] { place.prepare(ExistingRun::reject, 1); }), HasSubstr("--overwrite"));
  place.prepare(ExistingRun::resume, 1);
  EXPECT_FALSE(place.replaces());
  EXPECT_EQ(content(), "old");
  EXPECT_TRUE(is_clean());
}

TEST_F(OldTraining, IsKeptByAPreviewThatWasWrittenLate) {
  fs::create_directories(run.path() / "next_training/previews");
  std::ofstream(run.path() / "next_training/previews/b.png") << "late";
  place.prepare(ExistingRun::resume, 1);
  EXPECT_FALSE(place.replaces()) << "a folder without checkpoints replaces nothing";
  EXPECT_EQ(content(), "old");
  EXPECT_TRUE(is_clean());
}

// A job that was killed before its first checkpoint is started again with --resume.
TEST_F(OldTraining, IsReplacedByAResumedNewOne) {
  place.prepare(ExistingRun::overwrite, 1);
  write(place.current().path(), "killed");
  TrainingPlace again{run};
  again.prepare(ExistingRun::resume, 1);
  EXPECT_TRUE(again.replaces());
  EXPECT_FALSE(fs::exists(again.current().metrics())) << "it starts over";
  write(again.current().path(), "new");
  again.take_over();
  EXPECT_EQ(content(), "new");
  EXPECT_TRUE(is_clean());
}

// The checkpoints are exchanged in one step; a kill may come before or after each later one.
TEST_F(OldTraining, AKillWhileItIsReplacedIsMended) {
  for (const char* moved : {"", "metrics.csv", "version.txt", "previews"}) {
    write(run.path(), "old");
    TrainingPlace killed{run};
    killed.prepare(ExistingRun::overwrite, 1);
    const fs::path next = killed.current().path();
    write(next, "new");
    fs::rename(run.path() / "checkpoints", folder / "aside");
    fs::rename(next / "checkpoints", run.path() / "checkpoints");
    fs::rename(folder / "aside", next / "checkpoints");
    if (std::string(moved) == "previews") fs::remove_all(run.path() / "previews");
    if (*moved != 0) fs::rename(next / moved, run.path() / moved);
    TrainingPlace again{run};
    again.prepare(ExistingRun::resume, 1);
    EXPECT_FALSE(again.replaces()) << moved;
    EXPECT_EQ(content(), "new") << moved;
    EXPECT_TRUE(is_clean()) << moved;
  }
}

TEST_F(OldTraining, BehindALinkIsNotReplaced) {
  fs::rename(run.path() / "checkpoints", folder / "scratch");
  fs::create_symlink("../scratch", run.path() / "checkpoints");
  EXPECT_THAT(message_of([&] { place.prepare(ExistingRun::overwrite, 1); }),
              HasSubstr("is a link to ../scratch"));
  EXPECT_EQ(content(), "old");
}

}  // namespace
}  // namespace tessera
