#include "pipeline/cluster/run_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <sstream>

#include "io/base/error.h"
#include "io/volume/block_journal.h"
#include "pipeline/config/experiment.h"

namespace tessera {
namespace fs = std::filesystem;
namespace {

/// Of a log, from its end: errors stand there.
constexpr std::int64_t kLogTail = 256 << 10;

std::string tail_of(const fs::path& file, std::int64_t bytes) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return {};
  in.seekg(0, std::ios::end);
  const std::int64_t size = in.tellg();
  in.seekg(std::max<std::int64_t>(0, size - bytes));
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string text_of(const fs::path& file) {
  return tail_of(file, std::int64_t{1} << 30);
}

nlohmann::json json_file(const fs::path& file, std::vector<std::string>& problems) {
  const std::string text = text_of(file);
  if (text.empty()) return {};
  nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_object()) return value;
  problems.push_back(fmt::format("{} is damaged", file.string()));
  return {};
}

/// The text of a key; "" where it has none.
std::string text_at(const nlohmann::json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_string()) return {};
  return object[key].get<std::string>();
}

/// The experiment of a run as the file says it; none where there is none.
std::optional<ExperimentConfig> experiment_in(const fs::path& file, std::vector<std::string>& problems) {
  const std::string text = text_of(file);
  if (text.empty()) return std::nullopt;
  try {
    return parse_experiment(text, file.string(), {}, {});
  } catch (const Error& error) {
    problems.push_back(error.what());
    return std::nullopt;
  }
}

/// How far the work of a stage is, by its files.
struct Work {
  std::int64_t done = 0, all = 0;
  std::string words;
  std::string end;  ///< done, running, stopped or failed; "": nothing there
};

Work training_work(const RunFolder& folder, const ExperimentConfig* config,
                   std::vector<std::string>& problems) {
  Work work;
  const nlohmann::json record = json_file(folder.path() / "training.json", problems);
  work.end = text_at(record, "end");
  std::istringstream rows(tail_of(folder.metrics(), 64 << 10));
  for (std::string row; std::getline(rows, row);) {
    const long iteration = std::strtol(row.c_str(), nullptr, 10);
    if (!rows.eof() && iteration > 0) work.done = iteration;
  }
  if (config != nullptr) work.all = config->train.iterations;
  if (work.done > 0)
    work.words =
        fmt::format("iteration {}{}", work.done, work.all > 0 ? fmt::format(" of {}", work.all) : "");
  return work;
}

/// `directory`: what the experiment's paths are relative to.
Work inference_work(const RunFolder& folder, const ExperimentConfig* config, const fs::path& directory,
                    std::vector<std::string>& problems) {
  Work work;
  const nlohmann::json report = json_file(folder.path() / "inference.json", problems);
  work.end = text_at(report, "end");
  if (config == nullptr || !config->infer.output) return work;
  const fs::path file = journal_of(directory / config->infer.output->file);
  std::error_code error;
  if (!fs::exists(file, error)) return work;
  try {
    const JournalContents journal = read_journal(file);
    work.all = journal.head.blocks.count();
    work.done = work.all - journal.blocks_left();
    work.words = fmt::format("{} of {} blocks", work.done, work.all);
    if (work.done == work.all) {
      work.end = "done";
    } else if (work.end == "done") {
      work.end = "running";  // the report is an earlier result's
    }
  } catch (const Error& damaged) {
    problems.push_back(damaged.what());
  }
  return work;
}

Work file_work(const fs::path& file, const std::string& words) {
  std::error_code error;
  return fs::exists(file, error) ? Work{1, 1, words, "done"} : Work{};
}

Work evaluation_work(const RunFolder& folder, std::vector<std::string>& problems) {
  Work work = file_work(folder.path() / "evaluation.json", "scored");
  const nlohmann::json scores = json_file(folder.path() / "evaluation.json", problems);
  // Only of a probability.
  const auto least = nlohmann::json::json_pointer("/best/pixel_error/value");
  if (scores.is_object() && scores.contains(least) && scores[least].is_number()) {
    work.words = fmt::format("pixel error {:.4f}", scores[least].get<double>());
  }
  return work;
}

void add_work(StageStatus& status, const Work& work) {
  status.work = work.words;
  status.done = work.done;
  status.all = work.all;
  if (!status.job.empty()) return;
  // Not by Slurm: what the files say.
  if (work.end == "done") status.state = StageState::done;
  if (work.end == "stopped") status.state = StageState::stopped;
  if (work.end == "failed") status.state = StageState::failed;
  if (work.end == "running") {
    status.state = StageState::running;
    status.why = "by the files of the run: it runs, or was killed";
  }
}

/// The tasks of an array as one stage.
StageStatus of_all_tasks(Stage stage, const SubmittedJob& job, const std::vector<StageStatus>& tasks) {
  StageStatus all;
  all.stage = stage;
  all.job = job.id;
  all.all = static_cast<std::int64_t>(tasks.size());
  std::map<StageState, std::int64_t> count;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    ++count[tasks[i].state];
    all.starts += tasks[i].starts;
    const bool failed = tasks[i].state == StageState::failed || tasks[i].state == StageState::cancelled;
    if (failed && all.why.empty()) all.why = fmt::format("volume {}: {}", job.volumes[i], tasks[i].why);
  }
  all.done = count[StageState::done];
  all.work = fmt::format("{} of {} volumes", all.done, all.all);
  for (const StageState state :
       {StageState::running, StageState::failed, StageState::cancelled, StageState::stopped}) {
    if (count[state] > 0) all.work += fmt::format(", {} {}", count[state], name_of(state));
  }
  for (const StageState state :
       {StageState::running, StageState::waiting, StageState::failed, StageState::cancelled,
        StageState::stopped, StageState::not_started, StageState::done}) {
    if (count[state] == 0) continue;
    all.state = state;
    break;
  }
  return all;
}

/// Why a job waits, in words, by Slurm's reason.
std::string waiting_words(const std::string& reason, const std::vector<JobStart>& starts) {
  if (reason == "Dependency") return "waits for the stage before";
  if (reason == "BeginTime" && !starts.empty()) return "requeued, starts again in a moment";
  if (reason.empty() || reason == "Priority" || reason == "Resources") return "waits for its turn";
  return fmt::format("waits: {}", reason);
}

bool runs(const std::string& state) {
  static const std::set<std::string> running{"RUNNING",   "COMPLETING", "CONFIGURING",
                                             "STAGE_OUT", "RESIZING",   "SIGNALING"};
  return running.count(state) != 0;
}

class StatusReader {
 public:
  explicit StatusReader(const RunFolder& folder) : folder_(folder), jobs_(folder.path()) {
    status_.run_folder = folder.path().string();
    std::error_code error;
    if (!fs::is_directory(folder.path(), error)) {
      throw UsageError(
          fmt::format("{} is no run folder: name one, or its experiment", folder.path().string()));
    }
    try {
      submission_ = read_submission(jobs_);
    } catch (const Error& damaged) {
      status_.problems.emplace_back(damaged.what());
    }
    for (const char* name : {"jobs/experiment.yaml", "config.yaml", "inference.yaml"}) {
      if (!config_) config_ = experiment_in(folder.path() / name, status_.problems);
    }
    if (!config_ && !submission_ && !fs::exists(folder.path() / "training.json", error) &&
        !fs::exists(folder.path() / "evaluation.json", error)) {
      throw UsageError(fmt::format("{} holds nothing of a run", folder.path().string()));
    }
  }

  RunStatus read() {
    status_.experiment = submission_ ? submission_->experiment : config_ ? config_->name : "";
    if (submission_) status_.submitted = submission_->submitted;
    ask_slurm();
    for (const Stage stage : all_stages())
      status_.stages.push_back(stage_status(stage));
    return status_;
  }

 private:
  void ask_slurm() {
    if (!submission_ || submission_->jobs.empty()) return;
    try {
      for (JobState& state : job_states(submission_->ids()))
        slurm_[state.id] = state;
    } catch (const Error& error) {
      slurm_answers_ = false;
      status_.problems.push_back(
          fmt::format("{}; what is said here is by the files of the run", error.what()));
    }
  }

  const JobState* slurm_of(const std::string& id) const {
    const auto found = slurm_.find(id);
    return found == slurm_.end() ? nullptr : &found->second;
  }

  Work work_of(Stage stage, const RunFolder& folder, const ExperimentConfig* config) {
    const fs::path directory = submission_ ? submission_->directory : fs::path();
    switch (stage) {
      case Stage::train:
        return training_work(folder, config, status_.problems);
      case Stage::infer:
        return inference_work(folder, config, directory, status_.problems);
      case Stage::evaluate:
        return evaluation_work(folder, status_.problems);
      case Stage::report:
        break;
    }
    return file_work(folder.path() / "report.html", (folder.path() / "report.html").string());
  }

  StageStatus job_status(Stage stage, const std::string& id) const {
    StageStatus status =
        judge_job(stage, id, slurm_of(id), read_starts(jobs_.starts(stage, id)), jobs_.log(stage, id));
    if (!slurm_answers_ && status.starts == 0) {
      status.state = StageState::waiting;
      status.why = "by its record: it has not begun";
    } else if (!slurm_answers_ && status.state == StageState::stopped) {
      status.why = "by its record, for Slurm does not answer: it runs, waits or was killed";
    }
    return status;
  }

  StageStatus stage_status(Stage stage) {
    std::optional<SubmittedJob> job;
    for (const SubmittedJob& one : submission_ ? submission_->jobs : std::vector<SubmittedJob>()) {
      if (one.stage == stage) job = one;
    }
    StageStatus status;
    status.stage = stage;
    if (!job || job->volumes.empty()) {
      if (job) status = job_status(stage, job->id);
      add_work(status, work_of(stage, folder_, config_ ? &*config_ : nullptr));
      return status;
    }
    std::vector<StageStatus> tasks;
    for (std::size_t i = 0; i < job->volumes.size(); ++i) {
      tasks.push_back(job_status(stage, fmt::format("{}_{}", job->id, i)));
    }
    return of_all_tasks(stage, *job, tasks);
  }

  RunFolder folder_;
  JobFolder jobs_;
  RunStatus status_;
  std::optional<Submission> submission_;
  bool slurm_answers_ = true;
  std::optional<ExperimentConfig> config_;
  std::map<std::string, JobState> slurm_;  ///< by id
};

}  // namespace

std::string name_of(StageState state) {
  switch (state) {
    case StageState::not_started:
      return "not started";
    case StageState::waiting:
      return "waiting";
    case StageState::running:
      return "running";
    case StageState::done:
      return "done";
    case StageState::stopped:
      return "stopped";
    case StageState::failed:
      return "failed";
    case StageState::cancelled:
      break;
  }
  return "cancelled";
}

std::string last_error(const fs::path& log) {
  static const std::regex ours("(\\[rank [0-9]+\\] )?(error|critical): (.*)");
  static const std::regex begins("[-0-9]+T[:0-9]+ .*: job [0-9_]+, start [0-9]+, on .*");
  static const std::regex theirs("(srun|slurmstepd|bash|.*/slurm_script)(: error)?: (.*)");
  std::istringstream lines(tail_of(log, kLogTail));
  std::string own, other;
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_match(line, begins)) {
      own = other = "";  // an earlier start's, which another followed
    } else if (std::regex_match(line, match, ours)) {
      own = match[3];
    } else if (std::regex_match(line, match, theirs) && line.find("error") != std::string::npos) {
      other = line;
    } else if (line.find("line ") != std::string::npos &&
               line.find("command not found") != std::string::npos) {
      other = line;
    }
  }
  return own.empty() ? other : own;
}

StageStatus judge_job(Stage stage, const std::string& id, const JobState* slurm,
                      const std::vector<JobStart>& starts, const fs::path& log) {
  StageStatus status;
  status.stage = stage;
  status.job = id;
  status.starts = static_cast<std::int64_t>(starts.size());
  const JobStart* last = starts.empty() ? nullptr : &starts.back();
  const auto failure = [&](const std::string& otherwise) {
    const std::string words = last_error(log);
    return words.empty() ? otherwise : words;
  };
  if (slurm != nullptr && slurm->active()) {
    if (slurm->state == "PENDING" && slurm->reason == "DependencyNeverSatisfied") {
      status.state = StageState::cancelled;
      status.why = "the stage before it failed";
    } else if (!runs(slurm->state)) {
      status.state = StageState::waiting;
      status.why = waiting_words(slurm->reason, starts);
    } else {
      status.state = StageState::running;
      status.why = fmt::format("on {}, {} of {}", slurm->nodes, slurm->time,
                               slurm->time_limit.empty() ? "?" : slurm->time_limit);
    }
    return status;
  }
  const std::string outcome = last != nullptr ? last->outcome : "";
  if (outcome == "done" || (slurm != nullptr && slurm->state == "COMPLETED")) {
    status.state = StageState::done;
  } else if (slurm != nullptr && slurm->state == "CANCELLED") {
    status.state = StageState::cancelled;
    status.why = starts.empty() ? "before it began: the stage before it failed, or somebody cancelled it"
                                : "somebody cancelled it";
  } else if (slurm != nullptr || outcome == "failed") {
    status.state = StageState::failed;
    const std::string by_slurm = slurm != nullptr ? fmt::format("Slurm says {}", slurm->state)
                                                  : fmt::format("exit code {}", last->exit_code);
    status.why = failure(by_slurm);
    if (slurm != nullptr && (slurm->state == "TIMEOUT" || slurm->state == "OUT_OF_MEMORY"))
      status.why = fmt::format("{} ({})", slurm->state, status.why);
    status.why += fmt::format("\nlog: {}", log.string());
  } else if (last == nullptr) {
    status.state = StageState::cancelled;
    status.why = "Slurm has forgotten the job, and it left no trace of a start";
  } else {
    status.state = StageState::stopped;
    status.why = fmt::format("Slurm has forgotten the job; its last start, on {}, {}", last->nodes,
                             outcome.empty() ? "has no recorded end" : fmt::format("ended as '{}'", outcome));
  }
  return status;
}

bool RunStatus::failed() const {
  return std::ranges::any_of(stages, [](const StageStatus& one) {
    return one.state == StageState::failed || one.state == StageState::cancelled;
  });
}

std::string RunStatus::text() const {
  std::string text = fmt::format("run {}{}{}\n", run_folder,
                                 experiment.empty() ? "" : fmt::format(", experiment {}", experiment),
                                 submitted.empty() ? "" : fmt::format(", submitted {}", submitted));
  text += fmt::format("{:<9} {:<12} {:>8} {:>7}  {}\n", "stage", "state", "job", "starts", "done");
  for (const StageStatus& one : stages) {
    text += fmt::format("{:<9} {:<12} {:>8} {:>7}  {}", name_of(one.stage), name_of(one.state),
                        one.job.empty() ? "-" : one.job, one.job.empty() ? "-" : std::to_string(one.starts),
                        one.work);
    text.erase(text.find_last_not_of(' ') + 1);
    text += "\n";
    std::istringstream lines(one.why);
    for (std::string line; std::getline(lines, line);)
      text += fmt::format("          {}\n", line);
  }
  for (const std::string& problem : problems)
    text += fmt::format("note: {}\n", problem);
  return text;
}

nlohmann::ordered_json RunStatus::json() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const StageStatus& one : stages) {
    all.push_back({{"stage", name_of(one.stage)},
                   {"state", name_of(one.state)},
                   {"job", one.job},
                   {"starts", one.starts},
                   {"done", one.done},
                   {"all", one.all},
                   {"work", one.work},
                   {"why", one.why}});
  }
  return {{"run_folder", run_folder},
          {"experiment", experiment},
          {"submitted", submitted},
          {"failed", failed()},
          {"stages", all},
          {"problems", problems}};
}

RunStatus read_run_status(const RunFolder& folder) {
  return StatusReader(folder).read();
}

}  // namespace tessera
