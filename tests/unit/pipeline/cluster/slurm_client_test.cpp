#include "pipeline/cluster/slurm_client.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(SlurmClient, ReadsSqueue) {
  const auto state = parse_squeue_line("17_3|PENDING|Dependency|n[1-2]|0:00|10:00");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->id, "17_3");
  EXPECT_EQ(state->state, "PENDING");
  EXPECT_EQ(state->reason, "Dependency");
  EXPECT_EQ(state->nodes, "n[1-2]");
  EXPECT_EQ(state->time_limit, "10:00");
  EXPECT_TRUE(state->active());
  EXPECT_EQ(parse_squeue_line("17|RUNNING|None|n1|1:00|2:00")->reason, "");
  EXPECT_FALSE(parse_squeue_line("slurm_load_jobs error"));
  EXPECT_FALSE(parse_squeue_line(""));
}

TEST(SlurmClient, ReadsSacct) {
  const auto state = parse_sacct_line("17|CANCELLED by 1000|n1|00:01:00");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->state, "CANCELLED");
  EXPECT_FALSE(state->active());
  EXPECT_FALSE(parse_sacct_line("17.batch|COMPLETED|n1|00:01:00")) << "a step is not a job";
}

TEST(SlurmClient, AChainWaitsForTheEndOfTheStageBefore) {
  const JobRequest first{"run/jobs/train.sbatch", {"a b", "$(x)"}, "run/jobs/train-%j.log", ""};
  EXPECT_EQ(sbatch_command(first),
            (std::vector<std::string>{"sbatch", "--parsable", "--output=run/jobs/train-%j.log",
                                      "run/jobs/train.sbatch", "a b", "$(x)"}));
  JobRequest second = first;
  second.after = "12";
  const auto command = sbatch_command(second);
  EXPECT_EQ(command[3], "--dependency=afterok:12");
  EXPECT_EQ(command[4], "--kill-on-invalid-dep=yes");
  EXPECT_EQ(command[5], "run/jobs/train.sbatch") << "options of sbatch precede the script";
}

TEST(SlurmClient, PassesFileNamesUnchanged) {
  EXPECT_EQ(without_patterns("runs/50%j/x"), "runs/50%%j/x");
}

}  // namespace
}  // namespace tessera
