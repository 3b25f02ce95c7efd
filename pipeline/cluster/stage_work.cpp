#include "pipeline/cluster/stage_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/base/json_text.h"
#include "io/volume/block_journal.h"
#include "pipeline/run/run_end.h"

namespace tessera {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kMostText = std::int64_t{1} << 30;

/// Whether there is such a file. Where that cannot be found out, it is a problem.
bool is_there(const fs::path& file, std::vector<std::string>& problems) {
  try {
    return file_exists(file);
  } catch (const Error& error) {
    problems.emplace_back(error.what());
    return false;
  }
}

/// "" where there is no such file, or it cannot be read, which is a problem.
std::string text_of(const fs::path& file, std::vector<std::string>& problems) {
  if (!is_there(file, problems)) return {};
  try {
    return file_text(file, kMostText);
  } catch (const Error& error) {
    problems.emplace_back(error.what());
    return {};
  }
}

nlohmann::json json_file(const fs::path& file, std::vector<std::string>& problems) {
  const std::string text = text_of(file, problems);
  if (text.empty()) return {};
  auto value = parse_json<nlohmann::json>(text);
  if (value.is_object()) return value;
  problems.push_back(fmt::format("{} is damaged", file.string()));
  return {};
}

StageWork training_work(const RunFolder& folder, const ExperimentConfig* config,
                        std::vector<std::string>& problems) {
  StageWork work;
  const nlohmann::json record = json_file(folder.path() / "training.json", problems);
  work.end = value_named<RunEnd>(json_text_at(record, "end"));
  work.killed = work.end == RunEnd::running && owner_was_killed(folder.path());
  const std::string tail = file_tail(folder.metrics(), 64 << 10);
  if (tail.empty() && is_there(folder.metrics(), problems))
    problems.push_back(fmt::format("cannot read {}", folder.metrics().string()));
  std::istringstream rows(tail);
  for (std::string row; std::getline(rows, row);) {
    const long iteration = std::strtol(row.c_str(), nullptr, 10);
    if (!rows.eof() && iteration > 0) work.done = iteration;
  }
  if (config != nullptr) work.all = config->train.iterations;
  if (work.done > 0)
    work.text = fmt::format("iteration {}{}", work.done, work.all > 0 ? fmt::format(" of {}", work.all) : "");
  return work;
}

/// `directory`: what the experiment's paths are relative to.
StageWork inference_work(const RunFolder& folder, const ExperimentConfig* config, const fs::path& directory,
                         std::vector<std::string>& problems) {
  StageWork work;
  const nlohmann::json report = json_file(folder.path() / "inference.json", problems);
  work.end = value_named<RunEnd>(json_text_at(report, "end"));
  if (config == nullptr || !config->infer.output) return work;
  const fs::path file = journal_of(directory / config->infer.output->file);
  if (!is_there(file, problems)) return work;
  try {
    const JournalContents journal = read_journal(file);
    work.all = journal.head.blocks.count();
    work.done = work.all - journal.blocks_left();
    work.text = fmt::format("{} of {} blocks", work.done, work.all);
    if (work.done == work.all) {
      work.end = RunEnd::done;
    } else if (work.end == RunEnd::done) {
      work.end = RunEnd::running;  // the report is an earlier result's
    }
  } catch (const Error& damaged) {
    problems.push_back(damaged.what());
  }
  return work;
}

StageWork file_work(const fs::path& file, const std::string& text, std::vector<std::string>& problems) {
  return is_there(file, problems) ? StageWork{1, 1, text, RunEnd::done} : StageWork{};
}

StageWork evaluation_work(const RunFolder& folder, std::vector<std::string>& problems) {
  StageWork work = file_work(folder.path() / "evaluation.json", "scored", problems);
  const nlohmann::json scores = json_file(folder.path() / "evaluation.json", problems);
  // Only evaluations of a probability have it.
  const auto least = nlohmann::json::json_pointer("/best/pixel_error/value");
  if (scores.is_object() && scores.contains(least) && scores[least].is_number()) {
    work.text = fmt::format("pixel error {:.4f}", scores[least].get<double>());
  } else if (const std::string missing = json_text_at(scores, "undefined"); !missing.empty()) {
    work.text = fmt::format("pixel error undefined ({})", missing);
  }
  return work;
}

}  // namespace

std::string file_tail(const fs::path& file, std::int64_t bytes) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return {};
  in.seekg(0, std::ios::end);
  const std::int64_t size = in.tellg();
  in.seekg(std::max<std::int64_t>(0, size - bytes));
  return {std::istreambuf_iterator<char>(in), {}};
}

std::optional<ExperimentConfig> experiment_in(const fs::path& file, std::vector<std::string>& problems) {
  const std::string text = text_of(file, problems);
  if (text.empty()) return std::nullopt;
  try {
    return parse_experiment(text, file.string(), {}, {});
  } catch (const Error& error) {
    problems.push_back(error.what());
    return std::nullopt;
  }
}

StageWork work_of(Stage stage, const RunFolder& folder, const ExperimentConfig* config,
                  const fs::path& directory, std::vector<std::string>& problems) {
  switch (stage) {
    case Stage::train:
      return training_work(folder, config, problems);
    case Stage::infer:
      return inference_work(folder, config, directory, problems);
    case Stage::evaluate:
      return evaluation_work(folder, problems);
    case Stage::report:
      break;
  }
  return file_work(folder.path() / "report.html", (folder.path() / "report.html").string(), problems);
}

}  // namespace tessera
