#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "pipeline/segment/segmentation_report.h"

namespace tessera {

/// segmentation.json of the run folder: how far the latest start is. For the root.
class SegmentationRecord {
 public:
  explicit SegmentationRecord(const std::filesystem::path& run_folder)
      : file_(run_folder / "segmentation.json") {}

  SegmentationReport report;

  /// Notes that a step begins, of which earlier starts did `blocks_before` blocks. `status` reads it. Errors:
  /// Error.
  void begin_step(const std::string& step, std::int64_t blocks_before);
  /// Errors: Error.
  void write() const;
  /// For a result that has all of its blocks: whether the record says so. Else the start that wrote the last
  /// block was killed before it could. Errors: Error.
  bool is_done(const std::string& result) const;
  /// Notes that an earlier start has done all of `report.result`; keeps what that start has noted. Errors:
  /// Error.
  void complete() const;
  /// Notes how this start ends. A failure is a warning: the error that ends the start is more important.
  void end_early(RunEnd end);
  /// The sums of the graph of the job `digest`, where an earlier start has written them. Errors: Error.
  std::optional<GraphSums> earlier_sums(const std::string& digest) const;

 private:
  nlohmann::json earlier() const;

  std::filesystem::path file_;
};

}  // namespace tessera
