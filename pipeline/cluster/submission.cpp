#include "pipeline/cluster/submission.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"

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
                              {"directory", submission.directory.string()},
                              {"jobs", jobs}};
  write_text_file(folder.record(), record.dump(2) + "\n");
}

std::optional<Submission> read_submission(const JobFolder& folder) {
  std::ifstream in(folder.record());
  if (!in) return std::nullopt;
  try {
    const nlohmann::json record = nlohmann::json::parse(in);
    Submission submission;
    submission.submitted = record.at("submitted");
    submission.experiment = record.at("experiment");
    submission.directory = record.at("directory").get<std::string>();
    for (const nlohmann::json& job : record.at("jobs")) {
      submission.jobs.push_back({stage_of(job.at("stage").get<std::string>()),
                                 job.at("id").get<std::string>(),
                                 job.at("volumes").get<std::vector<std::string>>()});
    }
    return submission;
  } catch (const nlohmann::json::exception&) {
    throw Error(
        fmt::format("{} is damaged: remove it; 'tessera status' then no longer knows the jobs of this run",
                    folder.record().string()));
  }
}

std::vector<JobStart> read_starts(const std::filesystem::path& file) {
  std::vector<JobStart> starts;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::vector<std::string> fields;
    std::istringstream parts(line);
    for (std::string field; std::getline(parts, field, '\t');)
      fields.push_back(field);
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
