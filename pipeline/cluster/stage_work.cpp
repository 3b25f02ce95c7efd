#include "pipeline/cluster/stage_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "io/base/split_text.h"
#include "io/volume/block_journal.h"
#include "pipeline/run/progress.h"
#include "pipeline/run/run_end.h"
#include "pipeline/run/segmentation_files.h"

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
  std::vector<std::string> rows = split_text(tail, '\n');
  if (!rows.empty() && !tail.ends_with('\n')) rows.pop_back();  // it is being written
  for (const std::string& row : rows) {
    const long iteration = std::strtol(row.c_str(), nullptr, 10);
    if (iteration > 0) work.done = iteration;
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

/// How fast the blocks of the running step are done, and how long the rest takes; "" where it is not known.
std::string rate_text(const nlohmann::json& record, std::int64_t done, std::int64_t all) {
  const auto number = [&](const char* key) {
    const auto found = record.find(key);
    return found != record.end() && found->is_number_integer() ? found->get<std::int64_t>() : -1;
  };
  const std::int64_t begin_s = number("step_begin_s"), new_blocks = done - number("blocks_before");
  const std::int64_t elapsed_s = static_cast<std::int64_t>(std::time(nullptr)) - begin_s;
  if (begin_s <= 0 || new_blocks < 1 || elapsed_s < 1) return {};
  const double per_s = static_cast<double>(new_blocks) / static_cast<double>(elapsed_s);
  return fmt::format(", {:.3g} blocks/s, {} left", per_s,
                     duration_text(static_cast<double>(all - done) / per_s));
}

/// "20 objects at threshold 0.5" of a finished graph; "" before.
std::string objects_text(const nlohmann::json& record) {
  const auto objects = record.find("objects"), threshold = record.find("threshold");
  if (objects == record.end() || !objects->is_number_integer()) return {};
  const bool known = threshold != record.end() && threshold->is_number();
  return fmt::format("{} objects{}", objects->get<std::int64_t>(),
                     known ? fmt::format(" at threshold {}", threshold->get<double>()) : "");
}

using BlockCount = std::pair<std::int64_t, std::int64_t>;  ///< done, of how many

/// The blocks that a journal has, of how many; none without a readable journal.
std::optional<BlockCount> blocks_in(const fs::path& file, std::vector<std::string>& problems) {
  if (!is_there(file, problems)) return std::nullopt;
  try {
    const JournalContents journal = read_journal(file);
    const std::int64_t all = journal.head.blocks.count();
    return BlockCount(all - journal.blocks_left(), all);
  } catch (const Error& damaged) {
    problems.emplace_back(damaged.what());
    return std::nullopt;
  }
}

/// `directory`: what the experiment's paths are relative to.
StageWork segmentation_work(const RunFolder& folder, const ExperimentConfig* config,
                            const fs::path& directory, std::vector<std::string>& problems) {
  StageWork work;
  const nlohmann::json record = json_file(folder.path() / "segmentation.json", problems);
  work.end = value_named<RunEnd>(json_text_at(record, "end"));
  if (config == nullptr || !config->segment.wanted || !config->segment.output) return work;
  const fs::path output = directory / config->segment.output->file;
  work.killed = work.end == RunEnd::running && owner_was_killed(output);
  const bool runs = work.end == RunEnd::running && !work.killed;
  const auto first = blocks_in(graph_folder_of(output) / "pass1.journal", problems);
  const auto second = blocks_in(journal_of(output), problems);
  const bool objects_written = second && second->first == second->second;
  std::optional<BlockCount> third;
  if (config->segment.supervoxels)
    third = blocks_in(journal_of(supervoxels_of(output).file), problems).value_or(BlockCount{0, 1});
  if (objects_written && (!third || third->first == third->second)) {
    const std::string objects = objects_text(record);
    work = {second->first, second->second, objects.empty() ? "done" : objects, RunEnd::done};
    return work;
  }
  if (work.end == RunEnd::done) work.end = RunEnd::stopped;  // the record is that of an earlier result
  if (!first && !second) return work;
  const bool graph_is_done = !objects_text(record).empty();
  const bool in_first = first && first->first < first->second && !graph_is_done;
  const bool in_third = objects_written && third;
  std::tie(work.done, work.all) = in_third ? *third : in_first || !second ? *first : *second;
  work.text = fmt::format("pass {} of {}, {} of {} blocks",
                          in_third   ? 3
                          : in_first ? 1
                                     : 2,
                          third ? 3 : 2, work.done, work.all);
  if (!in_first && !graph_is_done) work.text = "graph, between the passes";
  if (runs && (in_first || graph_is_done)) work.text += rate_text(record, work.done, work.all);
  return work;
}

StageWork file_work(const fs::path& file, const std::string& text, std::vector<std::string>& problems) {
  return is_there(file, problems) ? StageWork{1, 1, text, RunEnd::done} : StageWork{};
}

StageWork evaluation_work(const RunFolder& folder, std::vector<std::string>& problems) {
  StageWork work = file_work(folder.path() / "evaluation.json", "scored", problems);
  const nlohmann::json scores = json_file(folder.path() / "evaluation.json", problems);
  const nlohmann::json objects = json_file(folder.object_scores(), problems);
  if (!work.end && objects.is_object()) work = {1, 1, "scored", RunEnd::done};
  // Only evaluations of a probability have it.
  const auto least = nlohmann::json::json_pointer("/best/pixel_error/value");
  if (scores.is_object() && scores.contains(least) && scores[least].is_number()) {
    work.text = fmt::format("pixel error {:.4f}", scores[least].get<double>());
  } else if (const std::string missing = json_text_at(scores, "undefined"); !missing.empty()) {
    work.text = fmt::format("pixel error undefined ({})", missing);
  }
  for (const auto& [place, name] :
       {std::pair("/volume_3d/voi", "VOI"), {"/volume_2d/rand_thin_f_macro", "V^Rand_thin"}}) {
    const nlohmann::json::json_pointer score(place);
    if (!objects.is_object() || !objects.contains(score) || !objects[score].is_number()) continue;
    const std::string text = fmt::format("{} of the objects {:.4f}", name, objects[score].get<double>());
    work.text = work.text == "scored" ? text : work.text + ", " + text;
    break;
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
    case Stage::segment:
      return segmentation_work(folder, config, directory, problems);
    case Stage::evaluate:
      return evaluation_work(folder, problems);
    case Stage::report:
      break;
  }
  return file_work(folder.path() / "report.html", (folder.path() / "report.html").string(), problems);
}

}  // namespace tessera
