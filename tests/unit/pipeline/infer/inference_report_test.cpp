#include "pipeline/infer/inference_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace tessera {
namespace {

WorkerAccount worker(int rank, const std::string& device, const std::string& engine,
                     std::int64_t voxels = 1000) {
  WorkerAccount account{.rank = rank,
                        .identity = identity_of(device),
                        .statistics = {.blocks = 1, .voxels = voxels, .elapsed_s = 1},
                        .details = {}};
  PredictionStatistics statistics;
  engine.copy(statistics.engine.data(), statistics.engine.size() - 1);
  account.details = details_of(statistics);
  return account;
}

TEST(InferenceReport, ListsWorkersWithAnotherEngine) {
  InferenceReport report;
  const std::string engine = "LibTorch, bfloat16, custom CUDA kernels, translation-invariant",
                    other = "LibTorch, bfloat16";
  report.run.workers = {worker(1, "cuda:0, NVIDIA H200", engine), worker(2, "cuda:1, NVIDIA H200", engine)};
  EXPECT_EQ(report.ways_text(), "") << "the device's number on its node does not matter";
  EXPECT_EQ(report.text().find("different ways"), std::string::npos);
  EXPECT_EQ(report.json()["workers"][1]["engine"], engine);

  report.run.workers.push_back(worker(3, "cuda:0, NVIDIA H200", other));
  report.run.workers.push_back(worker(4, "cuda:0, NVIDIA H200", "kernels not chosen yet", 0));
  const std::string text = report.text();
  EXPECT_NE(text.find("  2 workers: NVIDIA H200, " + engine + "\n"), std::string::npos) << text;
  EXPECT_NE(text.find("  1 worker: NVIDIA H200, " + other + "\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("not chosen"), std::string::npos) << "a worker without voxels is not listed";

  report.run.workers = {worker(1, "cuda:0, NVIDIA H200", engine), worker(2, "cuda:0, NVIDIA A100", engine)};
  EXPECT_NE(report.ways_text().find("NVIDIA A100"), std::string::npos);
  report.run.workers = {worker(1, "cpu, 2 threads on 0-1", "oneDNN 2.6, float32"),
                        worker(2, "cpu, 2 threads on 2-3", "oneDNN 2.6, float32")};
  EXPECT_EQ(report.ways_text(), "");
}

TEST(InferenceReport, ColumnsFitTheDeviceNames) {
  InferenceReport report;
  report.run.workers = {worker(1, "cuda:0, NVIDIA H100 80GB HBM3", "e"), worker(2, "cpu, 1 thread", "e")};
  const std::string text = report.text();
  const auto line = [&](const std::string& with) {
    const std::size_t at = text.find(with), begin = text.rfind('\n', at) + 1;
    return text.substr(begin, text.find('\n', at) - begin);
  };
  EXPECT_EQ(line("HBM3").size(), line("1 thread").size()) << text;
  EXPECT_EQ(line("Mvoxels  per s").size(), line("HBM3").size()) << text;
}

}  // namespace
}  // namespace tessera
