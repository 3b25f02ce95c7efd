#include "pipeline/cluster/job_script.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "io/base/error.h"
#include "pipeline/cluster/child_program.h"
#include "pipeline/cluster/job_bash.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

SlurmConfig config_of(const std::string& yaml) {
  ConfigDocument document(yaml, "e.yaml");
  ConfigSection root = document.root();
  const SlurmConfig config = read_slurm(root.section({"slurm", "The section of this test."}));
  document.finish();
  return config;
}

std::string complaint(const std::string& yaml) {
  return testing::message_of([&] { config_of(yaml); });
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(JobScript, RequestsTheConfiguredResources) {
  const SlurmConfig config = config_of(
      "slurm: {partition: gpu, account: em-lab, qos: long, nodes: 4, gpus_per_node: 8, cpus_per_task: 6, "
      "time: 1-04:00:00, memory: 64G, "
      "constraint: 'a100&nvlink', mail_user: me@lab.org, mail_type: 'END,FAIL', stop_before: 300, options: "
      "[--reservation=em]}");
  const std::string script = job_script(Stage::train, config, "Cells: 2nd try", 0);
  EXPECT_EQ(script.rfind("#!/bin/bash\n", 0), 0U);
  for (const char* line :
       {"#SBATCH --job-name=tessera-train-Cells__2nd_try", "#SBATCH --partition=gpu",
        "#SBATCH --account=em-lab", "#SBATCH --qos=long", "#SBATCH --nodes=4", "#SBATCH --ntasks-per-node=8",
        "#SBATCH --gpus-per-node=8", "#SBATCH --cpus-per-task=6", "#SBATCH --time=1-04:00:00",
        "#SBATCH --mem=64G", "#SBATCH --constraint=a100&nvlink", "#SBATCH --mail-user=me@lab.org",
        "#SBATCH --mail-type=END,FAIL", "#SBATCH --reservation=em", "#SBATCH --requeue",
        "#SBATCH --open-mode=append", "#SBATCH --signal=B:USR2@300"}) {
    EXPECT_TRUE(has_line(script, line)) << line << " in\n" << script.substr(0, 1500);
  }
  EXPECT_FALSE(has_line(script, "#SBATCH --exclusive")) << "a worker for each GPU";
  EXPECT_EQ(script.find("--array"), std::string::npos);
  EXPECT_NE(script.find("tessera_job train \"$program\""), std::string::npos);
}

TEST(JobScript, LeavesOtherResourcesToTheCluster) {
  const std::string script = job_script(Stage::infer, config_of("slurm: {}"), "a", 0);
  for (const char* option :
       {"partition", "account", "time", "mem", "ntasks-per-node", "gpus-per-node", "constraint", "mail"})
    EXPECT_EQ(script.find(std::string("#SBATCH --") + option), std::string::npos) << option;
  EXPECT_TRUE(has_line(script, "#SBATCH --exclusive")) << "a worker for each NUMA domain of a whole node";
}

TEST(JobScript, StagesMayRequestOtherResources) {
  const SlurmConfig config = config_of(
      "slurm: {partition: gpu, nodes: 2, gpus_per_node: 4, time: '04:00:00', infer: {nodes: 16, time: "
      "'20:00'}, report: {partition: cpu}}");
  EXPECT_EQ(config.train.nodes, 2);
  EXPECT_EQ(config.infer.nodes, 16);
  EXPECT_EQ(config.infer.time, "20:00");
  EXPECT_EQ(config.infer.partition, "gpu");
  EXPECT_EQ(config.evaluate.nodes, 1);
  EXPECT_EQ(config.evaluate.gpus_per_node, 0);
  EXPECT_EQ(config.evaluate.tasks_per_node, 4);
  EXPECT_EQ(config.report.tasks_per_node, 1);
  EXPECT_EQ(config.report.partition, "cpu");
}

TEST(JobScript, EvaluateAndReportAskForLittleAndNoGpu) {
  const SlurmConfig config = config_of(
      "slurm: {partition: gpu, constraint: a100, nodes: 8, gpus_per_node: 8, cpus_per_task: 16, memory: "
      "900G, "
      "time: 1-00:00:00}");
  for (const SlurmResources& r : {config.evaluate, config.report}) {
    EXPECT_EQ(r.nodes, 1);
    EXPECT_EQ(r.gpus_per_node, 0);
    EXPECT_EQ(r.cpus_per_task, 1);
    EXPECT_EQ(r.partition, "") << "the partition of the GPUs";
    EXPECT_EQ(r.constraint, "");
  }
  EXPECT_EQ(config.evaluate.tasks_per_node, 4);
  EXPECT_EQ(config.evaluate.memory, "32G");
  EXPECT_EQ(config.evaluate.time, "1-00:00:00");
  EXPECT_EQ(config.report.tasks_per_node, 1);
  EXPECT_EQ(config.report.memory, "4G");
  EXPECT_EQ(config.report.time, "00:30:00");
  const SlurmConfig cpus = config_of("slurm: {partition: cpu, tasks_per_node: 2, memory: 2000, time: '10'}");
  EXPECT_EQ(cpus.evaluate.partition, "cpu");
  EXPECT_EQ(cpus.evaluate.tasks_per_node, 2);
  EXPECT_EQ(cpus.evaluate.memory, "2000") << "not more than the other stages";
  EXPECT_EQ(cpus.report.time, "10");
  EXPECT_EQ(config_of("slurm: {}").report.memory, "") << "the cluster's default";
  EXPECT_EQ(config_of("slurm: {gpus_per_node: 2, evaluate: {partition: big, memory: 200G}}").evaluate.memory,
            "200G");
}

TEST(JobScript, SegmentNeedsNoGpu) {
  const SlurmConfig config =
      config_of("slurm: {partition: gpu, constraint: a100, nodes: 8, gpus_per_node: 4, cpus_per_task: 6}");
  EXPECT_EQ(config.segment.nodes, 8);
  EXPECT_EQ(config.segment.gpus_per_node, 0);
  EXPECT_EQ(config.segment.tasks_per_node, 4) << "a worker where another stage has a GPU";
  EXPECT_EQ(config.segment.cpus_per_task, 6);
  EXPECT_EQ(config.segment.partition + config.segment.constraint, "") << "those of the GPUs";
  EXPECT_EQ(config.segment.memory, "") << "the cluster's default";
  EXPECT_EQ(config_of("slurm: {nodes: 3, segment: {nodes: 9, memory: 7G}}").segment.nodes, 9);
  SlurmResources all;
  all.tasks_per_node = 3;
  all.memory = "900G";
  EXPECT_EQ(without_gpus(all, std::int64_t{2} << 30).memory, "7168M") << "of 3 workers, and 1 GiB";
  EXPECT_EQ(without_gpus(all, 0).memory, "900G");
  EXPECT_NE(job_script(Stage::segment, config, "a", 0).find("tessera_job segment \"$program\""),
            std::string::npos);
}

TEST(JobScript, ReadsTimesAsSlurmDoes) {
  for (const auto& [text, seconds] : std::vector<std::pair<std::string, std::int64_t>>{{"90", 5400},
                                                                                       {"90:30", 5430},
                                                                                       {"04:00:00", 14400},
                                                                                       {"2-12", 216000},
                                                                                       {"2-12:30", 217800},
                                                                                       {"1-00:00:01", 86401}})
    EXPECT_EQ(slurm_seconds(text), seconds) << text;
}

TEST(JobScript, AnArrayHasATaskForEachVolume) {
  SlurmConfig config = config_of("slurm: {nodes: 1}");
  EXPECT_TRUE(has_line(job_script(Stage::infer, config, "a", 20), "#SBATCH --array=0-19"));
  config.array_limit = 4;
  EXPECT_TRUE(has_line(job_script(Stage::infer, config, "a", 20), "#SBATCH --array=0-19%4"));
}

TEST(JobScript, RejectsShellSyntaxInValues) {
  for (const char* yaml : {"slurm: {partition: 'a b'}", "slurm: {account: \"a\\n#SBATCH --uid=0\"}",
                           "slurm: {time: '$(date)'}", "slurm: {memory: 64 GB}", "slurm: {constraint: 'a;b'}",
                           "slurm: {mail_user: 'a\"b'}", "slurm: {qos: 'a%j'}", "slurm: {options: ['--x y']}",
                           "slurm: {options: ['-x']}", "slurm: {options: [\"--comment='a'\"]}",
                           "slurm: {mpi: 'pmix; reboot'}", "slurm: {infer: {time: soon}}"}) {
    EXPECT_NE(complaint(yaml).find("is not valid in Slurm"), std::string::npos)
        << yaml << ": " << complaint(yaml);
  }
  EXPECT_NE(complaint("slurm: {options: [--output=x]}").find("--output is set by the job scripts"),
            std::string::npos);
  for (const char* option : {"wra=true", "wrap=true", "w", "outp=x", "depend=afterok:1", "arr=0-3",
                             "gpus-per-t=1", "clus=b", "no-r", "chd=/", "hel", "tasks-per-node=4"}) {
    EXPECT_NE(complaint(fmt::format("slurm: {{options: [--{}]}}", option)).find("is set by the job scripts"),
              std::string::npos)
        << option;
  }
  for (const char* option : {"gpus=2", "nice=5", "nodelist=n1", "exclude=n2", "mem-per-cpu=4G"})
    EXPECT_EQ(complaint(fmt::format("slurm: {{options: [--{}]}}", option)), "no error") << option;
  EXPECT_NE(complaint(fmt::format("slurm: {{partition: {}}}", std::string(300'000, 'a')))
                .find("too many for Slurm"),
            std::string::npos);
  EXPECT_NE(complaint("slurm: {partion: x}").find("did you mean 'partition'?"), std::string::npos);
  EXPECT_NE(complaint("slurm: {gpus: 2}").find("did you mean 'gpus_per_node'?"), std::string::npos);
}

TEST(JobScript, ContainsJobBashUnchanged) {
  std::ifstream in(TESSERA_SOURCE "/slurm/job.bash");
  const std::string file{std::istreambuf_iterator<char>(in), {}};
  ASSERT_GT(file.size(), 1000U);
  EXPECT_EQ(job_bash(), file);
  EXPECT_NE(job_script(Stage::report, SlurmConfig{}, "a", 0).find(file), std::string::npos);
}

TEST(JobScript, IsValidBash) {
  const testing::TemporaryFolder folder;
  for (const Stage stage : values_of<Stage>()) {
    const auto file = folder.path() / (name_of(stage) + ".sbatch");
    std::ofstream(file) << job_script(stage, config_of("slurm: {nodes: 2}"), "a",
                                      stage == Stage::infer ? 3 : 0);
    const ProgramEnd end = run_program({"bash", "-n", file.string()}, 20);
    EXPECT_EQ(end.exit_code, 0) << end.errors;
  }
}

TEST(Stages, HaveNames) {
  for (const Stage stage : values_of<Stage>())
    EXPECT_EQ(stage_of(name_of(stage)), stage);
  EXPECT_NE(testing::message_of([] { stage_of("pack"); }).find("'pack' is no stage"), std::string::npos);
}

}  // namespace
}  // namespace tessera
