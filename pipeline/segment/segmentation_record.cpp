#include "pipeline/segment/segmentation_record.h"

#include <chrono>
#include <exception>
#include <nlohmann/json.hpp>

#include "io/base/error_message.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "io/base/log.h"
#include "io/base/utf8_text.h"

namespace tessera {

void SegmentationRecord::begin_step(const std::string& step, std::int64_t blocks_before) {
  report.step = step;
  report.blocks_before = blocks_before;
  report.step_begin_s =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  write();
}

void SegmentationRecord::write() const {
  write_text_file(file_, json_text(report.json(), 2) + "\n");
}

void SegmentationRecord::end_early(RunEnd end) {
  try {
    report.end = end;
    write();
  } catch (const std::exception& problem) {
    spdlog::warn("{}", message_of(problem));
  }
}

/// What an earlier start has written; null where there is nothing.
nlohmann::json SegmentationRecord::earlier() const {
  constexpr std::int64_t kMostRecord = 1 << 26;
  if (!file_exists(file_)) return {};
  return parse_json<nlohmann::json>(file_text(file_, kMostRecord));
}

std::optional<GraphSums> SegmentationRecord::earlier_sums(const std::string& digest) const {
  return graph_sums_in(earlier(), digest);
}

bool SegmentationRecord::is_done(const std::string& result) const {
  const nlohmann::json there = earlier();
  return json_text_at(there, "result") == shown_as_utf8(result) &&
         json_text_at(there, "end") == name_of(RunEnd::done);
}

void SegmentationRecord::complete() const {
  nlohmann::json record = earlier();
  if (json_text_at(record, "result") != shown_as_utf8(report.result)) record = report.json();
  record["end"] = name_of(RunEnd::done);
  write_text_file(file_, json_text(record, 2) + "\n");
}

}  // namespace tessera
