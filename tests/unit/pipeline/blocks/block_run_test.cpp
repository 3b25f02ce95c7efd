#include "pipeline/blocks/block_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "io/base/error.h"
#include "pipeline/run/run_end.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"
#include "workers/blocks/computed_block.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

/// One number per block.
class StubTask : public BlockTask {
 public:
  explicit StubTask(const BlockPlan& plan) : plan_(plan) {}

  std::unique_ptr<Input> read(std::int64_t block) override {
    ++reads[block];
    if (block == broken) throw Error("cannot read it");
    auto number = std::make_unique<Number>();
    number->id = block;
    return number;
  }
  std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) override {
    progress(plan_.block(static_cast<const Number&>(*input).id).voxels());
    return std::make_unique<ComputedBlock>(std::move(input));
  }
  BlockReport write(std::unique_ptr<Input> input) override {
    const std::int64_t id = static_cast<const Number&>(*input).id;
    return {id, plan_.block(id).voxels(), static_cast<std::uint32_t>(id + 1)};
  }

  std::map<std::int64_t, int> reads;
  std::int64_t broken = -1;

 private:
  struct Number : Input {
    std::int64_t id = 0;
  };
  BlockPlan plan_;
};

const BlockPlan kPlan({8, 64, 64}, {1, 32, 32});

TEST(BlockRun, DoesEveryBlockWithoutAJournal) {
  std::map<std::int64_t, std::uint32_t> heard;
  BlockJob job = block_job_over(kPlan);
  job.verb = "test";
  job.block_done = [&](const BlockReport& report) { heard[report.id] = report.crc; };
  BlockRun run(std::move(job));
  StubTask task(kPlan);
  run_blocks(&task, &run, "cpu", Communicator::alone());
  const BlockRunReport report = run.end();
  EXPECT_EQ(report.end, RunEnd::done);
  EXPECT_EQ(report.blocks_done, 32);
  EXPECT_EQ(report.blocks_before, 0);
  EXPECT_EQ(report.total().voxels, volume_of({8, 64, 64}));
  ASSERT_EQ(report.workers.size(), 1U);
  EXPECT_STREQ(report.workers[0].identity.device.data(), "cpu");
  EXPECT_NO_THROW(report.require_done());
  ASSERT_EQ(heard.size(), 32U);
  EXPECT_EQ(heard[31], 32U);
}

TEST(BlockRun, NamesAFailedBlock) {
  BlockJob job = block_job_over(kPlan);
  job.names = {.blocks = "blocks", .done = "tested", .report_file = "", .resumes = false};
  job.limits.max_retries = 1;
  BlockRun run(std::move(job));
  StubTask task(kPlan);
  task.broken = 5;
  run_blocks(&task, &run, "", Communicator::alone());
  const BlockRunReport report = run.end();
  EXPECT_EQ(report.end, RunEnd::failed);
  EXPECT_EQ(report.blocks_done, 31);
  EXPECT_EQ(task.reads[5], 2);
  const std::string message = testing::message_of([&] { report.require_done(); });
  EXPECT_THAT(message, HasSubstr("1 of 32 blocks could not be tested:"));
  EXPECT_THAT(message, HasSubstr("block 5 (z [1, 2) y [0, 32) x [32, 64)), 2 attempts"));
  EXPECT_THAT(message, HasSubstr("cannot read it"));
}

TEST(BlockRun, AnErrorOfTheOwnerEndsTheJob) {
  BlockJob job = block_job_over(kPlan);
  job.block_done = [](const BlockReport&) { throw Error("no space left"); };
  BlockRun run(std::move(job));
  StubTask task(kPlan);
  run_blocks(&task, &run, "", Communicator::alone());
  const BlockRunReport report = run.end();
  EXPECT_EQ(report.failure, "no space left");
  EXPECT_EQ(testing::message_of([&] { report.require_done(); }), "no space left");
}

TEST(BlockRun, TheNextStartDoesTheBlocksThatTheJournalLacks) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder / "a.journal";
  write_journal(file, {std::string(32, '1'), {}, kPlan}, {}, 0);
  const auto start = [&](StubTask& task, std::int64_t most) {
    const JournalContents contents = read_journal(file);
    BlockJob job = block_job_over(contents);
    std::int64_t done = 0;
    job.block_done = [&](const BlockReport&) { ++done; };
    job.should_stop = [&] { return done >= most; };
    job.limits.queue.largest_batch = 1;
    BlockRun run(std::move(job), std::make_unique<BlockJournal>(file, contents));
    run_blocks(&task, &run, "", Communicator::alone());
    return run.end();
  };
  StubTask one(kPlan), two(kPlan);
  const BlockRunReport stopped = start(one, 6);
  EXPECT_EQ(stopped.end, RunEnd::stopped);
  EXPECT_EQ(stopped.starts, 1);
  EXPECT_THROW(stopped.require_done(), StoppedEarly);
  EXPECT_GE(stopped.blocks_done, 6);
  ASSERT_LT(stopped.blocks_done, 32);
  const BlockRunReport ended = start(two, 1000);
  EXPECT_EQ(ended.end, RunEnd::done);
  EXPECT_EQ(ended.starts, 2);
  EXPECT_EQ(ended.blocks_before, stopped.blocks_done);
  EXPECT_EQ(ended.blocks_done, 32 - stopped.blocks_done);
  for (const auto& [block, count] : two.reads)
    EXPECT_EQ(one.reads.count(block), 0U) << "block " << block << " was done twice";
  const JournalContents whole = read_journal(file);
  EXPECT_EQ(whole.blocks_left(), 0);
  EXPECT_EQ(whole.records[9].crc, 10U);
}

}  // namespace
}  // namespace tessera
