#include "pipeline/cluster/run_status.h"

#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/base/error.h"
#include "io/volume/block_journal.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

class Status : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) {
    const fs::path file = folder_.path() / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file;
  }

  StageStatus judge(const std::optional<JobState>& slurm, const std::string& starts,
                    const std::string& log = "") {
    const fs::path starts_file = write("train-7.starts", starts), log_file = write("train-7.log", log);
    return judge_job(Stage::train, "7", slurm ? &*slurm : nullptr, read_starts(starts_file), log_file);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(Status, ReadsTheStartsThatTheScriptWrites) {
  const auto starts = read_starts(
      write("s", "begin\t0\t100\tn[1-2]\nend\t0\t160\t75\tstopped\nbegin\t1\t170\tn3\nend\t1\t18"));
  ASSERT_EQ(starts.size(), 2U);
  EXPECT_EQ(starts[0].nodes, "n[1-2]");
  EXPECT_EQ(starts[0].exit_code, 75);
  EXPECT_EQ(starts[0].outcome, "stopped");
  EXPECT_EQ(starts[1].nodes, "n3");
  EXPECT_EQ(starts[1].exit_code, -1);
  EXPECT_EQ(starts[1].outcome, "") << "a truncated line";
  EXPECT_TRUE(read_starts(folder_.path() / "nothing").empty());
}

TEST_F(Status, FindsTheLastErrorOfALog) {
  const auto error_in = [&](const std::string& log) { return last_error(write("log", log)); };
  const std::string begin = "2026-03-01T10:00:00 run/jobs: job 17_1, start 1, on n1\n";
  EXPECT_EQ(error_in("error: first\n[rank 12] error: the last\ninfo: x\n"), "the last");
  EXPECT_EQ(error_in("[rank 0] critical: full\n"), "full");
  EXPECT_EQ(error_in("[rank x] error: no\nmy error: no\n"), "");
  EXPECT_EQ(error_in("error: of an earlier start\n" + begin), "");
  EXPECT_EQ(error_in(begin + "error: of this start\n"), "of this start");
  EXPECT_EQ(error_in("error: kept\n10:00 x: job 17, start 1, on n1\n"), "kept");
  EXPECT_EQ(error_in("error: kept\n2026-03-01T10:00:00 x: job , start 1, on n1\n"), "kept");
  EXPECT_EQ(error_in("srun: error: n1: task 0: Killed\n"), "srun: error: n1: task 0: Killed");
  EXPECT_EQ(error_in("/var/spool/slurm_script: line 3: tessera: command not found\n"),
            "/var/spool/slurm_script: line 3: tessera: command not found");
}

TEST_F(Status, LongLinesAndDeepFilesEnd) {
  const std::string failed = "begin\t0\t1\tn1\nend\t0\t2\t1\tfailed\n";
  for (const std::string& line : {"error: " + std::string(250'000, 'x'), "2026T " + std::string(250'000, ' '),
                                  "2026T" + std::string(250'000, ':'), "[rank " + std::string(250'000, '1'),
                                  "bash: " + std::string(240'000, 'x') + " error"}) {
    EXPECT_LT(judge({}, failed, line + "\n").why.size(), 3000U);
  }
  std::string jobs;
  for (int i = 0; i < 50'000; ++i)
    jobs += ": job 1";
  EXPECT_EQ(judge({}, failed, "2026T " + jobs + "\n").state, StageState::failed);
  EXPECT_EQ(judge({}, failed + std::string(1 << 20, 'x') + std::string(1 << 20, '\t')).starts, 1);
}

TEST_F(Status, ReportsSlurmsStateOfAnActiveJob) {
  const std::string stopped = "begin\t0\t100\tn1\nend\t0\t160\t75\tstopped\n";
  StageStatus status =
      judge(JobState{"7", "RUNNING", "", "n[1-2]", "0:10", "4:00:00"}, stopped + "begin\t1\t170\tn1\n");
  EXPECT_EQ(status.state, StageState::running);
  EXPECT_EQ(status.starts, 2);
  EXPECT_EQ(status.why, "on n[1-2], 0:10 of 4:00:00");
  EXPECT_EQ(judge(JobState{"7", "PENDING", "Dependency", "", "", ""}, "").why,
            "waits for the stage before it");
  status = judge(JobState{"7", "PENDING", "BeginTime", "", "", ""}, stopped);
  EXPECT_EQ(status.state, StageState::waiting);
  EXPECT_EQ(status.why, "requeued, starts again in a moment");
  EXPECT_EQ(judge(JobState{"7", "PENDING", "QOSMaxJobsPerUserLimit", "", "", ""}, "").why,
            "waits: QOSMaxJobsPerUserLimit");
  EXPECT_EQ(judge(JobState{"7", "PENDING", "DependencyNeverSatisfied", "", "", ""}, "").state,
            StageState::cancelled);
}

TEST_F(Status, ReportsWhyAJobFailed) {
  const std::string failed = "begin\t0\t100\tn1\nend\t0\t160\t1\tfailed\n";
  const std::string log =
      "[rank 0] info: fine\n[rank 2] error: no space left on em.h5\nsrun: error: n1: task 2: Exited with "
      "exit code 1\n";
  for (const auto& slurm : {std::optional<JobState>(JobState{"7", "FAILED", "NonZeroExitCode", "n1", "", ""}),
                            std::optional<JobState>()}) {
    const StageStatus status = judge(slurm, failed, log);
    EXPECT_EQ(status.state, StageState::failed);
    EXPECT_EQ(status.why.rfind("no space left on em.h5\nlog: ", 0), 0U) << status.why;
  }
  EXPECT_EQ(judge(JobState{"7", "TIMEOUT", "", "n1", "", ""}, "", log)
                .why.rfind("TIMEOUT (no space left on em.h5)", 0),
            0U);
  EXPECT_EQ(
      judge(JobState{"7", "TIMEOUT", "", "n1", "", ""}, "begin\t0\t1\tn1\nend\t0\t60\t75\tended\n").state,
      StageState::failed)
      << "the script's interpretation of Slurm's end of the job";
  EXPECT_EQ(judge(JobState{"7", "NODE_FAIL", "", "n1", "", ""}, "begin\t0\t1\tn1\n")
                .why.rfind("Slurm says NODE_FAIL", 0),
            0U);
  EXPECT_EQ(judge(std::nullopt, failed).why.rfind("exit code 1", 0), 0U);
}

TEST_F(Status, DistinguishesTheOtherEnds) {
  EXPECT_EQ(judge(JobState{"7", "COMPLETED", "", "", "", ""}, "").state, StageState::done);
  EXPECT_EQ(judge(std::nullopt, "begin\t0\t1\tn1\nend\t0\t2\t0\tdone\n").state, StageState::done)
      << "Slurm no longer lists the job";
  EXPECT_EQ(judge(JobState{"7", "CANCELLED", "", "", "", ""}, "").state, StageState::cancelled);
  EXPECT_EQ(judge(JobState{"7", "CANCELLED", "", "", "", ""}, "begin\t0\t1\tn1\n").why,
            "somebody cancelled it");
  EXPECT_EQ(judge(std::nullopt, "").state, StageState::cancelled);
  const StageStatus lost = judge(std::nullopt, "begin\t0\t1\tn1\n");
  EXPECT_EQ(lost.state, StageState::stopped);
  EXPECT_NE(lost.why.find("on n1, has no recorded end"), std::string::npos) << lost.why;
}

TEST_F(Status, PrefersTesserasMessage) {
  EXPECT_EQ(last_error(write("a", "error: first\n[rank 1] error: second\nsrun: error: third\n")), "second");
  EXPECT_EQ(last_error(write("b", "srun: error: n1: task 2: Killed\n")), "srun: error: n1: task 2: Killed");
  EXPECT_EQ(last_error(write("d",
                             "error: of the first start\n2026-11-26T16:22:14 tessera-train-e: job 7, start "
                             "2, on n[1-2]\nfine\n")),
            "");
  EXPECT_EQ(last_error(write("c", "all is well, no error: here\n")), "");
  EXPECT_EQ(last_error(folder_.path() / "nothing"), "");
}

TEST_F(Status, ReportsARunWithoutSlurm) {
  write("run/config.yaml", "experiment: a\ntrain: {iterations: 20}\n");
  write("run/training.json", "{\"end\": \"stopped\"}\n");
  write("run/metrics.csv", "iteration,loss\n1,0.5\n2,0.4\n3,");
  const RunStatus status = read_run_status(RunFolder(folder_.path() / "run"));
  ASSERT_EQ(status.stages.size(), 4U);
  EXPECT_EQ(status.experiment, "a");
  EXPECT_EQ(status.stages[0].state, StageState::stopped);
  EXPECT_EQ(status.stages[0].done, 2) << "the last row is truncated";
  EXPECT_EQ(status.stages[0].work, "iteration 2 of 20");
  EXPECT_EQ(status.stages[1].state, StageState::not_started);
  EXPECT_FALSE(status.failed());
  EXPECT_TRUE(status.problems.empty());
  EXPECT_EQ(status.json()["stages"][0]["state"], "stopped");
}

TEST_F(Status, ReportsTheScore) {
  write("run/config.yaml", "experiment: a\n");
  write("run/evaluation.json", "{\"best\": {\"pixel_error\": {\"value\": 0.0775, \"threshold\": 0.3}}}\n");
  EXPECT_EQ(read_run_status(RunFolder(folder_.path() / "run")).stages[2].work, "pixel error 0.0775");
  write("run/evaluation.json", "{\"best\": {\"pixel_error\": {\"value\": null}}}\n");
  EXPECT_EQ(read_run_status(RunFolder(folder_.path() / "run")).stages[2].work, "scored");
}

TEST_F(Status, ReportsASegmentation) {
  const std::string result = (folder_.path() / "s.h5").string();
  const std::string experiment =
      "experiment: a\nsegment: {prediction: p.h5:/p, output: '" + result + ":/s', threshold: 0.3}\n";
  write("run/segmentation.yaml", experiment);
  const auto segment = [&] {
    const RunStatus status = read_run_status(RunFolder(folder_.path() / "run"));
    EXPECT_EQ(status.stages.size(), 5U);
    EXPECT_TRUE(status.problems.empty());
    return status.stages.at(2);
  };
  EXPECT_EQ(segment().stage, Stage::segment);
  EXPECT_EQ(segment().state, StageState::not_started);

  const JournalHead head{std::string(32, 'a'), {{"key", "value"}}, BlockPlan({8, 8, 8}, {4, 8, 8})};
  fs::create_directories(folder_.path() / "s.graph");
  write_journal(folder_.path() / "s.graph/pass1.journal", head, {{0, BlockOutcome::done, 1}}, 1);
  write_journal(result + ".journal", head, {}, 1);
  const std::int64_t begin = std::time(nullptr) - 10;
  write("run/segmentation.json",
        "{\"end\": \"running\", \"step\": \"first pass\", \"blocks_before\": 0, \"step_begin_s\": " +
            std::to_string(begin) + "}");
  EXPECT_EQ(segment().state, StageState::running);
  EXPECT_EQ(segment().work.rfind("pass 1 of 2, 1 of 2 blocks, 0.", 0), 0U) << segment().work;
  EXPECT_NE(segment().work.find(" left"), std::string::npos) << segment().work;
  write("run/segmentation.json", "{\"end\": \"stopped\", \"objects\": 7, \"threshold\": 0.3}");
  EXPECT_EQ(segment().state, StageState::stopped);
  EXPECT_EQ(segment().work, "pass 2 of 2, 0 of 2 blocks");
  write_journal(result + ".journal", head, {{0, BlockOutcome::done, 1}, {1, BlockOutcome::done, 1}}, 1);
  write("run/segmentation.json", "{\"end\": \"done\", \"objects\": 7, \"threshold\": 0.3}");
  EXPECT_EQ(segment().state, StageState::done);
  EXPECT_EQ(segment().work, "7 objects at threshold 0.3");
}

TEST_F(Status, ReportsDamagedFiles) {
  write("run/config.yaml", "experiment: a\n");
  write("run/training.json", "{");
  write("run/jobs/submission.json", "[]");
  const RunStatus status = read_run_status(RunFolder(folder_.path() / "run"));
  ASSERT_EQ(status.problems.size(), 2U);
  EXPECT_NE(status.problems[0].find("submission.json is damaged"), std::string::npos) << status.problems[0];
  EXPECT_NE(status.problems[1].find("training.json is damaged"), std::string::npos) << status.problems[1];
}

TEST_F(Status, ReportsFilesThatItCannotReach) {
  write("run/training.json", R"({"end": "done"})");
  for (const char* name : {"report.html", "evaluation.json", "inference.json"})
    fs::create_symlink(name, folder_.path() / "run" / name);
  const RunStatus status = read_run_status(RunFolder(folder_.path() / "run"));
  ASSERT_EQ(status.problems.size(), 4U) << "evaluation.json is looked for twice";
  for (const std::string& problem : status.problems)
    EXPECT_NE(problem.find("cannot look for"), std::string::npos) << problem;
}

TEST_F(Status, ReportsAnEmptyFolder) {
  write("empty/x", "");
  EXPECT_NE(testing::message_of([&] {
              read_run_status(RunFolder(folder_.path() / "empty"));
            }).find("holds no file of a run"),
            std::string::npos);
  EXPECT_NE(testing::message_of([&] {
              read_run_status(RunFolder(folder_.path() / "missing"));
            }).find("is not a run folder"),
            std::string::npos);
}

}  // namespace
}  // namespace tessera
