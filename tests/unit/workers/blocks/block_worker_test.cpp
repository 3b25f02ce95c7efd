#include "workers/blocks/block_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/failing_threads.h"
#include "workers/blocks/computed_block.h"

namespace tessera {
namespace {

/// Hands out blocks 0 to count - 1, and tries those that fail again.
class ListOfBlocks : public BlockExchange {
 public:
  explicit ListOfBlocks(std::int64_t count) : waiting_(static_cast<std::size_t>(count)) {
    std::iota(waiting_.begin(), waiting_.end(), std::int64_t{0});
  }
  std::optional<std::int64_t> poll() override {
    if (waiting_.empty()) return std::nullopt;
    const std::int64_t id = waiting_.front();
    waiting_.pop_front();
    return id;
  }
  bool finished() const override { return waiting_.empty(); }
  void report(const BlockReport& report) override { reports.push_back(report); }
  void report(const BlockFailure& failure) override {
    failures.push_back(failure);
    if (!failure.whole_job) waiting_.push_back(failure.id);
  }
  void flush() override {}
  void pulse(const WorkerPulse& pulse) override { voxels += pulse.voxels; }
  void leave(const WorkerStatistics& what, std::span<const std::byte> more) override {
    left = what;
    details.assign(more.begin(), more.end());
  }

  std::vector<BlockReport> reports;
  std::vector<BlockFailure> failures;
  std::int64_t voxels = 0;
  std::optional<WorkerStatistics> left;
  std::vector<std::byte> details;

 private:
  std::deque<std::int64_t> waiting_;
};

struct NumberedBlock : BlockTask::Input {
  explicit NumberedBlock(std::int64_t number) : id(number) {}
  std::int64_t id;
};

/// Ten voxels a block. Each stage fails as the test says, once for each of its blocks.
class StubTask : public BlockTask {
 public:
  std::unique_ptr<Input> read(std::int64_t block) override {
    ++reads[block];
    if (fails_to_read.erase(block) > 0) throw Error("cannot read it");
    if (skipped.count(block) > 0) return nullptr;
    return std::make_unique<NumberedBlock>(block);
  }
  std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) override {
    const std::int64_t id = static_cast<const NumberedBlock&>(*input).id;
    if (fails_to_compute.erase(id) > 0) throw Error("cannot compute it");
    if (too_large.count(id) > 0 && !small_) throw OutOfMemory("no room");
    if (never_fits.count(id) > 0) throw OutOfMemory("no room at all");
    progress(10);
    return std::make_unique<ComputedBlock>(std::move(input));
  }
  BlockReport write(std::unique_ptr<Input> input) override {
    const std::int64_t id = static_cast<const NumberedBlock&>(*input).id;
    if (fails_to_write.erase(id) > 0) throw Error("cannot write it");
    if (full_disk.count(id) > 0) throw WholeJobError("no space");
    return {id, 10, static_cast<std::uint32_t>(100 + id), BlockOutcome::done, {std::byte(id), std::byte{7}}};
  }
  bool retry_smaller(const OutOfMemory&) override {
    ++shrinks;
    return !std::exchange(small_, true);
  }
  std::vector<std::byte> details() const override { return {std::byte{42}}; }

  std::set<std::int64_t> fails_to_read, fails_to_compute, fails_to_write, skipped, too_large, never_fits,
      full_disk;
  std::map<std::int64_t, int> reads;
  int shrinks = 0;

 private:
  bool small_ = false;
};

std::vector<std::int64_t> ids_of(const std::vector<BlockReport>& reports) {
  std::vector<std::int64_t> ids;
  for (const BlockReport& report : reports)
    ids.push_back(report.id);
  std::ranges::sort(ids);
  return ids;
}

std::vector<std::int64_t> first(std::int64_t count) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), std::int64_t{0});
  return ids;
}

TEST(BlockWorker, DoesEveryBlockOnce) {
  ListOfBlocks blocks(50);
  StubTask task;
  task.skipped = {3, 44};
  const WorkerStatistics statistics = run_block_worker(task, blocks);
  EXPECT_EQ(ids_of(blocks.reports), first(50));
  for (const BlockReport& report : blocks.reports) {
    const bool skipped = task.skipped.count(report.id) > 0;
    EXPECT_EQ(report.outcome, skipped ? BlockOutcome::skipped : BlockOutcome::done);
    EXPECT_EQ(report.crc, skipped ? 0 : 100 + report.id);
    EXPECT_EQ(report.payload.size(), skipped ? 0 : 2);
  }
  EXPECT_TRUE(blocks.failures.empty());
  EXPECT_EQ(blocks.voxels, 480);
  EXPECT_EQ(statistics.blocks, 48);
  EXPECT_EQ(statistics.skipped, 2);
  EXPECT_EQ(statistics.voxels, 480);
  EXPECT_EQ(statistics.start_voxels, 10 * WorkerStatistics::kStartBlocks);
  ASSERT_TRUE(blocks.left);
  EXPECT_EQ(blocks.left->blocks, 48);
  EXPECT_EQ(blocks.details, std::vector{std::byte{42}});
}

TEST(BlockWorker, ReportsWhatFailsInEachStageAndContinues) {
  ListOfBlocks blocks(20);
  StubTask task;
  task.fails_to_read = {2};
  task.fails_to_compute = {5};
  task.fails_to_write = {11};
  run_block_worker(task, blocks);
  EXPECT_EQ(ids_of(blocks.reports), first(20));
  std::map<std::int64_t, std::string> messages;
  for (const BlockFailure& failure : blocks.failures) {
    EXPECT_FALSE(failure.whole_job);
    messages[failure.id] = failure.message;
  }
  EXPECT_EQ(messages, (std::map<std::int64_t, std::string>{
                          {2, "cannot read it"}, {5, "cannot compute it"}, {11, "cannot write it"}}));
}

TEST(BlockWorker, SaysWhatConcernsTheWholeJob) {
  ListOfBlocks blocks(8);
  StubTask task;
  task.full_disk = {4};
  run_block_worker(task, blocks);
  ASSERT_EQ(blocks.failures.size(), 1U);
  EXPECT_TRUE(blocks.failures[0].whole_job);
  EXPECT_EQ(blocks.failures[0].message, "no space");
  EXPECT_EQ(blocks.reports.size(), 7U);
}

TEST(BlockWorker, TakesSmallerPartsWhenMemoryRunsOut) {
  ListOfBlocks blocks(10);
  StubTask task;
  for (const std::int64_t id : first(10))
    task.too_large.insert(id);
  run_block_worker(task, blocks);
  EXPECT_EQ(ids_of(blocks.reports), first(10));
  EXPECT_TRUE(blocks.failures.empty());
  EXPECT_EQ(task.shrinks, 1) << "blocks read before that are read again without asking";
  EXPECT_EQ(task.reads[0], 2);
}

TEST(BlockWorker, MemoryThatNeverSufficesEndsTheJob) {
  ListOfBlocks blocks(6);
  StubTask task;
  task.never_fits = {1};
  run_block_worker(task, blocks);
  ASSERT_EQ(blocks.failures.size(), 1U);
  EXPECT_TRUE(blocks.failures[0].whole_job);
  EXPECT_NE(blocks.failures[0].message.find("no room at all"), std::string::npos);
}

TEST(BlockWorker, ReportsComeBackFromTheirBytes) {
  const std::vector<BlockReport> reports = {
      {7, 12, 99, BlockOutcome::done, {std::byte{1}, std::byte{2}, std::byte{3}}},
      {8, 0, 0, BlockOutcome::skipped},
      {9, 1, 2, BlockOutcome::done, std::vector<std::byte>(1000, std::byte{5})}};
  Message message;
  message.bytes = bytes_of(reports);
  const std::vector<BlockReport> back = reports_of(message);
  ASSERT_EQ(back.size(), 3U);
  for (std::size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(back[i].id, reports[i].id);
    EXPECT_EQ(back[i].voxels, reports[i].voxels);
    EXPECT_EQ(back[i].crc, reports[i].crc);
    EXPECT_EQ(back[i].outcome, reports[i].outcome);
    EXPECT_EQ(back[i].payload, reports[i].payload);
  }
  message.bytes.pop_back();
  EXPECT_THROW(reports_of(message), Error);
}

TEST(BlockWorker, EndsInOrderWhenAStageCannotStart) {
  int nth = 1;
  for (const char* purpose : {"to read blocks", "to compute blocks", "to write blocks"}) {
    ListOfBlocks blocks(20);
    StubTask task;
    const testing::FailingThread failing(nth++);
    EXPECT_THAT(testing::message_of([&] { run_block_worker(task, blocks); }),
                ::testing::HasSubstr(std::string("cannot start a thread ") + purpose));
    EXPECT_TRUE(blocks.reports.empty());
    EXPECT_FALSE(blocks.left);
  }
}

}  // namespace
}  // namespace tessera
