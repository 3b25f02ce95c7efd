#include "pipeline/infer/inference_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "pipeline/run/progress.h"
#include "pipeline/run/text_table.h"
#include "workers/infer/precision_check.h"

namespace tessera {
namespace {

constexpr std::size_t kRowsShown = 64;

double mega(std::int64_t voxels) {
  return static_cast<double>(voxels) / 1e6;
}
double rate(std::int64_t voxels, double seconds) {
  return mega(voxels) / std::max(1e-9, seconds);
}

nlohmann::json json_of(const WorkerStatistics& w, const PredictionStatistics& p) {
  return {{"blocks", w.blocks},
          {"skipped", w.skipped},
          {"voxels", w.voxels},
          {"input_pixels", p.input_pixels},
          {"chunks_read", p.chunks_read},
          {"tile_shrinks", p.tile_shrinks},
          {"read_s", w.read_s},
          {"predict_s", w.compute_s},
          {"write_s", w.write_s},
          {"wait_s", w.wait_s},
          {"elapsed_s", w.elapsed_s},
          {"start_s", w.start_s},
          {"start_voxels", w.start_voxels}};
}

/// The results of the workers' comparison with float32; "" without a comparison.
std::string check_text(const PredictionStatistics& t) {
  if (t.check_mean < 0) return {};
  return fmt::format(
      "self-check of the first tiles: on average {:.5f} from float32 in probability, at most {:.3f}; {:.2f} "
      "% of the "
      "voxels beyond {}{}\n",
      t.check_mean, t.check_largest, 100 * t.check_share_beyond, kPrecisionLimit,
      t.check_mean > kPrecisionLimit ? " (too far: set infer.precision: float32)" : "");
}

}  // namespace

PredictionStatistics InferenceReport::total() const {
  PredictionStatistics sum;
  for (const WorkerAccount& worker : run.workers) {
    const PredictionStatistics p = prediction_statistics_of(worker.details);
    sum.input_pixels += p.input_pixels;
    sum.chunks_read += p.chunks_read;
    sum.tile_shrinks += p.tile_shrinks;
    sum.check_largest = std::max(sum.check_largest, p.check_largest);
    sum.check_mean = std::max(sum.check_mean, p.check_mean);
    sum.check_share_beyond = std::max(sum.check_share_beyond, p.check_share_beyond);
  }
  return sum;
}

std::string InferenceReport::text() const {
  const WorkerStatistics t = run.total();
  const PredictionStatistics p = total();
  const std::vector<WorkerAccount>& workers = run.workers;
  std::string summary = fmt::format(
      "predicted {} block{}, {:.2f} Mvoxels in {}: {:.2f} Mvoxels per second{}\n", t.blocks,
      t.blocks == 1 ? "" : "s", mega(t.voxels), duration_text(run.elapsed_s), rate(t.voxels, run.elapsed_s),
      run.blocks_before > 0
          ? fmt::format(" ({} blocks were done before, start {})", run.blocks_before, run.starts)
          : "");
  if (run.blocks_skipped > 0)
    summary += fmt::format("skipped {} block{}\n", run.blocks_skipped, run.blocks_skipped == 1 ? "" : "s");
  const std::size_t shown = std::min(workers.size(), kRowsShown);
  TextTable table(
      {"rank", "host", "device", "blocks", "Mvoxels", "per s", "read", "predict", "write", "wait"});
  for (std::size_t i = 0; i < shown; ++i) {
    const WorkerAccount& worker = workers[i];
    const WorkerStatistics& w = worker.statistics;
    const auto share = [&](double part) {
      return fmt::format("{:.0f} %", 100 * part / std::max(1e-9, w.elapsed_s));
    };
    table.add({fmt::format("{}", worker.rank), worker.identity.host.data(), worker.identity.device.data(),
               fmt::format("{}", w.blocks), fmt::format("{:.2f}", mega(w.voxels)),
               fmt::format("{:.2f}", rate(w.voxels, w.elapsed_s)), share(w.read_s), share(w.compute_s),
               share(w.write_s), share(w.wait_s)});
  }
  summary += table.text();
  if (workers.size() > kRowsShown)
    summary += fmt::format("  and {} more workers\n", workers.size() - kRowsShown);
  if (raw_chunks_stored > 0 && run.blocks_before == 0) {
    summary += fmt::format("each stored chunk of the raw volume was decompressed {:.2f} times on average\n",
                           static_cast<double>(p.chunks_read) / static_cast<double>(raw_chunks_stored));
  }
  if (p.tile_shrinks > 0) {
    summary += fmt::format(
        "memory ran out on {} worker{}, which went on with smaller tiles: their voxels are the same up to "
        "rounding, "
        "not to the last bit\n",
        p.tile_shrinks, p.tile_shrinks == 1 ? "" : "s");
  }
  return summary + ways_text() + check_text(p);
}

std::string InferenceReport::ways_text() const {
  std::map<std::string, int> ways;
  for (const WorkerAccount& worker : run.workers) {
    if (worker.statistics.voxels == 0) continue;
    // Without the device's number on the node: "cuda:1, NVIDIA H200".
    const std::string device = worker.identity.device.data();
    const std::size_t comma = device.find(", ");
    const bool cuda = device.starts_with("cuda:");
    ++ways[fmt::format("{}{}", cuda && comma != std::string::npos ? device.substr(comma + 2) + ", " : "",
                       prediction_statistics_of(worker.details).engine.data())];
  }
  if (ways.size() < 2) return {};
  std::string summary =
      "workers computed in different ways, so that where their blocks meet pixels may differ by rounding:\n";
  for (const auto& [way, count] : ways)
    summary += fmt::format("  {} worker{}: {}\n", count, count == 1 ? "" : "s", way);
  return summary;
}

nlohmann::json InferenceReport::json() const {
  nlohmann::json all = nlohmann::json::array(), failures = nlohmann::json::array();
  for (const WorkerAccount& worker : run.workers) {
    const PredictionStatistics p = prediction_statistics_of(worker.details);
    nlohmann::json entry = json_of(worker.statistics, p);
    if (p.check_mean >= 0) {
      entry["check"] = {
          {"mean", p.check_mean}, {"largest", p.check_largest}, {"share_beyond_0.01", p.check_share_beyond}};
    }
    entry["rank"] = worker.rank;
    entry["host"] = worker.identity.host.data();
    entry["device"] = worker.identity.device.data();
    entry["engine"] = p.engine.data();
    all.push_back(entry);
  }
  for (std::size_t i = 0; i < run.failed.size(); ++i) {
    failures.push_back({{"block", run.failed[i].id},
                        {"place", run.failed_places[i]},
                        {"attempts", run.failed[i].attempts},
                        {"worker", run.failed[i].worker},
                        {"words", run.failed[i].message}});
  }
  const WorkerStatistics t = run.total();
  return {{"result", result},
          {"end", name_of(run.end)},
          {"starts", run.starts},
          {"blocks",
           {{"all", run.blocks},
            {"before", run.blocks_before},
            {"now", run.blocks_done},
            {"skipped_now", run.blocks_skipped},
            {"left", run.blocks - run.blocks_before - run.blocks_done - run.blocks_skipped},
            {"failed", failures}}},
          {"total", json_of(t, total())},
          {"elapsed_s", run.elapsed_s},
          {"voxels_per_s", static_cast<double>(t.voxels) / std::max(1e-9, run.elapsed_s)},
          {"raw_chunks_stored", raw_chunks_stored},
          {"warnings", warnings},
          {"workers", all}};
}

}  // namespace tessera
