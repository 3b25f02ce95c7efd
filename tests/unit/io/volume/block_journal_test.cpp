#include "io/volume/block_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "io/base/crc32c.h"
#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/child_process.h"
#include "tests/unit/io/base/failing_threads.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
namespace fs = std::filesystem;

JournalHead some_head() {
  return {"00112233445566778899aabbccddeeff",
          {{"infer.tile", "572"}, {"raw.type", "uint8"}},
          BlockPlan({4, 40, 60}, {2, 20, 20})};
}

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

/// A journal with one start and the blocks 3, 0 (skipped), 7.
void make_journal(const fs::path& file) {
  write_journal(file, some_head(), {}, 0);
  BlockJournal journal(file, read_journal(file));
  journal.append({3, BlockOutcome::done, 0x12345678});
  journal.append({0, BlockOutcome::skipped, 0});
  journal.append({7, BlockOutcome::done, 99});
  journal.commit();
}

std::vector<std::int64_t> blocks_of(const JournalContents& contents) {
  std::vector<std::int64_t> ids;
  for (const JournalRecord& record : contents.records)
    ids.push_back(record.block);
  return ids;
}

TEST(BlockJournal, KeepsWhatIsAppended) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  const JournalContents read = read_journal(folder / "j");
  EXPECT_EQ(read.head.instance, some_head().instance);
  EXPECT_EQ(read.head.job, some_head().job);
  EXPECT_EQ(read.head.blocks.count(), 12);
  EXPECT_EQ(read.starts, 1);
  EXPECT_EQ(read.damaged, 0);
  EXPECT_EQ(read.torn_bytes, 0);
  ASSERT_THAT(blocks_of(read), ElementsAre(0, 3, 7));
  EXPECT_EQ(read.records[0].outcome, BlockOutcome::skipped);
  EXPECT_EQ(read.records[1].outcome, BlockOutcome::done);
  EXPECT_EQ(read.records[1].crc, 0x12345678U);
  EXPECT_EQ(read.blocks_left(), 9);
  EXPECT_THAT(read.unknown_blocks(), ElementsAre(1, 2, 4, 5, 6, 8, 9, 10, 11));
}

TEST(BlockJournal, GoesOnWhereItEnded) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  for (int start = 2; start < 5; ++start) {
    BlockJournal journal(folder / "j", read_journal(folder / "j"));
    journal.append({start, BlockOutcome::done, 5});
    journal.commit();
  }
  const JournalContents read = read_journal(folder / "j");
  EXPECT_EQ(read.starts, 4);
  EXPECT_THAT(blocks_of(read), ElementsAre(0, 2, 3, 4, 7));
}

/// Truncated at any byte, a journal still has the whole records before it, and appending makes it valid
/// again.
TEST(BlockJournal, TornAtAnyByte) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  const std::string whole = bytes_of(folder / "j");
  const std::size_t records = whole.size() - 4 * 32;
  const std::vector<std::vector<std::int64_t>> kept{{}, {}, {3}, {0, 3}, {0, 3, 7}};
  std::size_t tried = 0;
  for (std::size_t size = records; size <= whole.size(); ++size, ++tried) {
    write_bytes(folder / "torn", whole.substr(0, size));
    const JournalContents read = read_journal(folder / "torn");
    const std::size_t complete = (size - records) / 32;
    ASSERT_EQ(blocks_of(read), kept[complete]) << "cut at byte " << size;
    ASSERT_EQ(read.torn_bytes, static_cast<std::int64_t>((size - records) % 32)) << "cut at byte " << size;
    ASSERT_EQ(read.damaged, 0);
    {
      BlockJournal journal(folder / "torn", read);
      journal.append({11, BlockOutcome::done, 1});
    }
    const JournalContents after = read_journal(folder / "torn");
    auto expected = kept[complete];
    expected.push_back(11);
    ASSERT_EQ(blocks_of(after), expected) << "cut at byte " << size;
    ASSERT_EQ(after.torn_bytes, 0);
    ASSERT_EQ(after.damaged, 0);
  }
  EXPECT_EQ(tried, 129U);
}

/// A truncated head is an error, never an empty journal.
TEST(BlockJournal, ATruncatedHeadIsRejected) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  const std::string whole = bytes_of(folder / "j");
  for (std::size_t size = 0; size < whole.size() - 4 * 32; size += 7) {
    write_bytes(folder / "torn", whole.substr(0, size));
    ASSERT_THAT(message_of([&] { read_journal(folder / "torn"); }),
                AllOf(HasSubstr("torn"), HasSubstr("head is damaged"), HasSubstr("--restart")));
  }
}

/// A damaged byte invalidates only its record; in the head, the journal.
TEST(BlockJournal, DamagedAtAnyByte) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  const std::string whole = bytes_of(folder / "j");
  const std::size_t records = whole.size() - 4 * 32;
  const std::vector<std::vector<std::int64_t>> left{{0, 3, 7}, {0, 7}, {3, 7}, {0, 3}};
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    write_bytes(folder / "damaged", damaged);
    if (at < records) {
      ASSERT_NE(message_of([&] { read_journal(folder / "damaged"); }), "no error") << "byte " << at;
      continue;
    }
    const JournalContents read = read_journal(folder / "damaged");
    const std::size_t record = (at - records) / 32;
    ASSERT_EQ(blocks_of(read), left[record]) << "byte " << at;
    ASSERT_EQ(read.damaged, record < 3 ? 1 : 0) << "byte " << at;
    ASSERT_EQ(read.torn_bytes, record < 3 ? 0 : 32) << "byte " << at;
  }
}

TEST(BlockJournal, ZerosBehindTheEndAreTorn) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  write_bytes(folder / "j", bytes_of(folder / "j") + std::string(1000, '\0'));
  const JournalContents read = read_journal(folder / "j");
  EXPECT_THAT(blocks_of(read), ElementsAre(0, 3, 7));
  EXPECT_EQ(read.torn_bytes, 1000);
}

TEST(BlockJournal, RecordsOfAnotherJournalOrPlaceDoNotPass) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "a");
  JournalHead other = some_head();
  other.instance = "ffffffffffffffffffffffffffffffff";
  write_journal(folder / "b", other, {}, 0);
  const std::string a = bytes_of(folder / "a"), b = bytes_of(folder / "b");
  write_bytes(folder / "mixed", b + a.substr(a.size() - 4 * 32));
  EXPECT_TRUE(read_journal(folder / "mixed").records.empty());
  write_bytes(folder / "moved", a.substr(0, a.size() - 4 * 32) + a.substr(a.size() - 3 * 32));
  EXPECT_TRUE(read_journal(folder / "moved").records.empty());
}

/// A journal whose head has another JSON, with the right checksum.
std::string with_head(const std::string& journal, const nlohmann::json& json) {
  std::string text = json.dump(1);
  text.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(text.size()) + 20, 32)) - 20, ' ');
  std::string bytes = journal.substr(0, 12);
  const auto size = static_cast<std::uint32_t>(text.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  bytes += text;
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return bytes.append(reinterpret_cast<const char*>(&crc), sizeof crc);
}

TEST(BlockJournal, AHeadWithTheRightChecksumAndWrongFieldsIsRejected) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  const std::string whole = bytes_of(folder / "j");
  std::uint32_t size = 0;
  std::memcpy(&size, whole.data() + 12, sizeof size);
  const auto head = nlohmann::json::parse(whole.substr(16, size));
  write_bytes(folder / "same", with_head(whole, head));
  EXPECT_EQ(read_journal(folder / "same").head.blocks.count(), 12);
  const std::int64_t huge = std::int64_t{1} << 62;
  const std::vector<nlohmann::json> changes{
      {{"block_shape", {0, 64, 64}}},
      {{"block_shape", {-1, 64, 64}}},
      {{"block_shape", {"a", 1, 1}}},
      {{"block_shape", {1, 1}}},
      {{"block_shape", {1, 1, 1, 1}}},
      {{"block_shape", 5}},
      {{"block_shape", {1.5, 1, 1}}},
      {{"region_end", {huge, huge, huge}}, {"block_shape", {1, 1, 1}}},
      {{"region_end", {18446744073709551615U, 40, 60}}},
      {{"region_end", {2000000, 2000, 2000}}, {"block_shape", {1, 1, 1}}},
      {{"region_begin", {9, 9, 9}}, {"region_end", {0, 0, 0}}},
      {{"region_begin", {-4, 0, 0}}},
      {{"region_end", {1e300, 1, 1}}},
      {{"job", {{"x", 5}}}},
      {{"job", {{"x", "another job"}}}},
      {{"job", nullptr}},
      {{"instance", 5}},
      {{"instance", "short"}},
      {{"instance", std::string(32, 'x')}},
  };
  for (const nlohmann::json& change : changes) {
    nlohmann::json crafted = head;
    crafted.update(change);
    write_bytes(folder / "crafted", with_head(whole, crafted));
    EXPECT_THAT(message_of([&] { read_journal(folder / "crafted"); }),
                AllOf(HasSubstr("crafted"), HasSubstr("head is damaged"), HasSubstr("--restart")))
        << change.dump();
  }
  for (const auto& [key, value] : head.items()) {
    nlohmann::json crafted = head;
    crafted.erase(key);
    write_bytes(folder / "crafted", with_head(whole, crafted));
    EXPECT_THAT(message_of([&] { read_journal(folder / "crafted"); }), HasSubstr("head is damaged")) << key;
  }
}

TEST(BlockJournal, PathsMayHaveAnyBytes) {
  const testing::TemporaryFolder folder;
  JournalHead head = some_head();
  head.job["raw.file"] = "/data/m\xFCller\n*[1].h5";
  head.job["literal"] = "/data/m\\xFCller";
  write_journal(folder / "j", head, {}, 0);
  EXPECT_EQ(read_journal(folder / "j").head.job, head.job);
  EXPECT_EQ(job_from_json(json_of(head.job), "x"), head.job);
  JobDescription other = head.job;
  other["raw.file"] = "/data/m\xF6ller\n*[1].h5";
  EXPECT_EQ(differences_between(head.job, other).size(), 1U);
  EXPECT_NE(digest_of(head.job), digest_of(other));
}

TEST(BlockJournal, TheNameFitsTheFileSystem) {
  EXPECT_EQ(journal_of("a/p.h5"), "a/p.h5.journal");
  EXPECT_EQ(journal_of(std::string(247, 'p')).string().size(), 255U);
  const std::string longest = std::string(254, 'p');
  EXPECT_LE(journal_of(longest + "a").filename().string().size(), 255U);
  EXPECT_NE(journal_of(longest + "a"), journal_of(longest + "b"));
  EXPECT_EQ(journal_of("folder/" + longest + "a").parent_path(), "folder");
}

TEST(BlockJournal, OneProcessAtATime) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  const BlockJournal journal(folder / "j", read_journal(folder / "j"));
  const JournalContents contents = read_journal(folder / "j");
  EXPECT_THAT(message_of([&] { BlockJournal(folder / "j", contents); }),
              HasSubstr("another tessera is working on this result"));
}

TEST(BlockJournal, AFullDiskIsReported) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  const auto size = fs::file_size(folder / "j");
  EXPECT_THAT(testing::message_of_child([&] {
                testing::limit_file_size(size + 40);
                BlockJournal journal(folder / "j", read_journal(folder / "j"));
                journal.append({4, BlockOutcome::done, 1});
              }),
              AllOf(HasSubstr("cannot write 24 bytes"), HasSubstr("ulimit")));
  const JournalContents read = read_journal(folder / "j");
  EXPECT_THAT(blocks_of(read), ElementsAre(0, 3, 7));
}

TEST(BlockJournal, RewrittenWithFewerRecords) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  JournalContents read = read_journal(folder / "j");
  read.records.erase(read.records.begin());
  write_journal(folder / "j", read.head, read.records, read.starts);
  const JournalContents again = read_journal(folder / "j");
  EXPECT_THAT(blocks_of(again), ElementsAre(3, 7));
  EXPECT_EQ(again.starts, 1);
  EXPECT_EQ(again.head.job, read.head.job);
}

TEST(JobDescription, DifferencesAreNamedKeyByKey) {
  const JobDescription then{{"infer.tile", "572"}, {"infer.class", "1"}, {"old", "x"}};
  const JobDescription now{{"infer.tile", "1020"}, {"infer.class", "1"}, {"new", "y"}};
  EXPECT_THAT(differences_between(then, now),
              ElementsAre("infer.tile: 572 then, 1020 now", "new: not said then, y now",
                          "old: x then, not said now"));
  EXPECT_TRUE(differences_between(then, then).empty());
  EXPECT_NE(digest_of(then), digest_of(now));
  EXPECT_EQ(job_from_json(json_of(then), "x"), then);
}

TEST(BlockJournal, AThreadThatCannotStartIsAnError) {
  const testing::TemporaryFolder folder;
  make_journal(folder / "j");
  {
    const testing::FailingThread failing(1);
    EXPECT_THAT(testing::message_of([&] { BlockJournal(folder / "j", read_journal(folder / "j")); }),
                HasSubstr("cannot start a thread to commit the journal: "));
  }
  BlockJournal again(folder / "j", read_journal(folder / "j"));  // not locked any more
  again.commit();
  EXPECT_THAT(blocks_of(read_journal(folder / "j")), ElementsAre(0, 3, 7));
}

}  // namespace
}  // namespace tessera
