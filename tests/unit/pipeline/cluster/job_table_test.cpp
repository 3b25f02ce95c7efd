#include "pipeline/cluster/job_table.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(JobTable, ShowsWhatEachJobAsksFor) {
  SlurmResources train;
  train.partition = "gpu";
  train.nodes = 2;
  train.gpus_per_node = 4;
  train.memory = "64G";
  train.time = "04:00:00";
  SlurmResources report;
  report.tasks_per_node = 1;
  EXPECT_EQ(
      job_table({{Stage::train, "tessera-train-a", train, 0, "r/train-%j.log"},
                 {Stage::infer, "tessera-infer-a", SlurmResources{}, 20, "r/infer-%A_%a.log"},
                 {Stage::report, "tessera-report-a", report, 0, "r/report-%j.log"}}),
      "name                  nodes  tasks  GPUs  memory   time      partition  waits for  log\n"
      "tessera-train-a       2      8+1    8     64G      04:00:00  gpu        -          r/train-%j.log\n"
      "tessera-infer-a [20]  1      NUMA   0     default  default   default    train      r/infer-%A_%a.log\n"
      "tessera-report-a      1      1      0     default  default   default    infer      r/report-%j.log\n"
      "tasks: workers on all nodes, +1: the coordinator; NUMA: a worker for each NUMA domain of whole nodes; "
      "[N]: a "
      "job array, a task for each volume. memory: of each node. default: the cluster's\n");
}

}  // namespace
}  // namespace tessera
