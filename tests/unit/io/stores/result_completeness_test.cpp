#include "io/stores/result_completeness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/base/error.h"
#include "io/volume/block_journal.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

const std::string kInstance(32, '0');

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;

class Completeness : public ::testing::Test {
 protected:
  Completeness() {
    result_.name = {folder_ / "p.h5", "/p"};
    result_.attributes = {{"instance", kInstance}, {"job", "{}"}};
  }
  void write(std::int64_t done, const std::string& instance = kInstance) {
    const BlockPlan blocks = BlockPlan::of_region(Box::of_shape({4, 64, 64}), {1, 64, 64});
    std::vector<JournalRecord> records;
    for (std::int64_t id = 0; id < done; ++id)
      records.push_back({id, id == 0 ? BlockOutcome::skipped : BlockOutcome::done, 0});
    write_journal(journal_of(result_.name.file), {instance, {}, blocks}, records, 1);
  }
  std::string complaint() {
    return message_of([&] { require_complete(result_, false); });
  }

  testing::TemporaryFolder folder_;
  VolumeInfo result_;
};

TEST_F(Completeness, TheJournalDecides) {
  write(4);
  EXPECT_EQ(complaint(), "no error") << "skipped blocks are done";
  EXPECT_EQ(completeness_of(result_).done, 4);
  write(1);
  EXPECT_THAT(complaint(), AllOf(HasSubstr("p.h5:/p is incomplete: 1 of 4 blocks (25.0 %) are done"),
                                 HasSubstr("--allow-incomplete")));
  const ResultCompleteness allowed = require_complete(result_, true);
  EXPECT_EQ(allowed.done, 1);
  EXPECT_EQ(allowed.blocks, 4);
  EXPECT_FALSE(allowed.complete());
}

TEST_F(Completeness, WithoutItsJournalAResultIsNotKnownToBeComplete) {
  EXPECT_THAT(complaint(), HasSubstr("p.h5.journal is missing"));
  write(4, std::string(32, '1'));
  EXPECT_THAT(complaint(), HasSubstr("belongs to another file"));
  std::ofstream(journal_of(result_.name.file)) << "TSRJRNL1 and so on";
  EXPECT_NE(complaint(), "no error");
}

TEST_F(Completeness, PackedCopiesAndOtherVolumesSpeakForThemselves) {
  result_.attributes["packed"] = "gzip 4";
  EXPECT_EQ(complaint(), "no error");
  result_.attributes["packed"] = "gzip 4; incomplete: " + done_text(9, 256);
  EXPECT_THAT(complaint(), HasSubstr("9 of 256 blocks (3.5 %) are done"));
  result_.attributes = {{"instance", "of something else"}};
  EXPECT_EQ(complaint(), "no error");
}

}  // namespace
}  // namespace tessera
