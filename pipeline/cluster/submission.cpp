#include "pipeline/cluster/submission.h"

#include <fmt/format.h>

#include <charconv>
#include <new>
#include <nlohmann/json.hpp>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "io/base/split_text.h"
#include "pipeline/cluster/stage_work.h"

namespace tessera {
namespace {

int number_of(const std::string& text, int otherwise) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

}  // namespace

std::vector<std::string> Submission::ids() const {
  std::vector<std::string> all;
  for (const SubmittedJob& job : jobs)
    all.push_back(job.id);
  return all;
}

void write_submission(const JobFolder& folder, const Submission& submission) {
  nlohmann::json jobs = nlohmann::json::array();
  for (const SubmittedJob& job : submission.jobs) {
    jobs.push_back({{"stage", name_of(job.stage)}, {"id", job.id}, {"volumes", job.volumes}});
  }
  const nlohmann::json record{{"submitted", submission.submitted},
                              {"experiment", submission.experiment},
                              {"directory", utf8_text(submission.directory.string())},
                              {"jobs", jobs}};
  write_text_file(folder.record(), json_text(record, 2) + "\n");
}

std::optional<Submission> read_submission(const JobFolder& folder) {
  if (!file_exists(folder.record())) return std::nullopt;
  const std::vector<std::byte> bytes = read_file_bytes(folder.record());
  try {
    const auto record =
        parse_json<nlohmann::json>({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    Submission submission;
    submission.submitted = record.at("submitted");
    submission.experiment = record.at("experiment");
    submission.directory = bytes_of_utf8_text(record.at("directory").get<std::string>());
    for (const nlohmann::json& job : record.at("jobs")) {
      submission.jobs.push_back({stage_of(job.at("stage").get<std::string>()),
                                 job.at("id").get<std::string>(),
                                 job.at("volumes").get<std::vector<std::string>>()});
    }
    return submission;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {  // also a stage that does not exist
    throw Error(
        fmt::format("{} is damaged: remove it; 'tessera status' then no longer knows the jobs of this run",
                    folder.record().string()));
  }
}

std::vector<JobStart> read_starts(const std::filesystem::path& file) {
  std::vector<JobStart> starts;
  constexpr std::int64_t kMost = 4 << 20;  // 40,000 starts
  for (const std::string& line : split_text(file_tail(file, kMost), '\n')) {
    const std::vector<std::string> fields = split_text(line, '\t');
    if (fields.size() >= 4 && fields[0] == "begin") {
      starts.emplace_back();
      starts.back().nodes = fields[3];
    } else if (fields.size() >= 5 && fields[0] == "end" && !starts.empty()) {
      starts.back().exit_code = number_of(fields[3], -1);
      starts.back().outcome = fields[4];
    }
  }
  return starts;
}

}  // namespace tessera
