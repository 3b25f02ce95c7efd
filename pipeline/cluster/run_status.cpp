#include "pipeline/cluster/run_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/split_text.h"
#include "pipeline/cluster/stage_work.h"
#include "pipeline/config/experiment.h"
#include "pipeline/run/run_end.h"

namespace tessera {
namespace fs = std::filesystem;
namespace {

/// Bytes read from the end of a log, where the errors are.
constexpr std::int64_t kLogTail = 256 << 10;

/// Of a training, and of a segmentation.
constexpr const char* kKilled[] = {"by the files of the run: it was killed: start it again with --resume",
                                   "by the files of the run: it was killed: start it again"};

void add_work(StageStatus& status, const StageWork& work) {
  status.work = work.text;
  status.done = work.done;
  status.all = work.all;
  if (!status.job.empty()) return;
  // Without a job the files decide.
  if (work.end == RunEnd::done) status.state = StageState::done;
  if (work.end == RunEnd::stopped) status.state = StageState::stopped;
  if (work.end == RunEnd::failed) status.state = StageState::failed;
  if (work.end == RunEnd::running) {
    status.state = work.killed ? StageState::stopped : StageState::running;
    status.why = work.killed ? kKilled[status.stage == Stage::segment]
                             : "by the files of the run: it is running, or was killed";
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

/// A message for Slurm's reason why a job waits.
std::string waiting_message(const std::string& reason, const std::vector<JobStart>& starts) {
  if (reason == "Dependency") return "waits for the stage before it";
  if (reason == "BeginTime" && !starts.empty()) return "requeued, starts again in a moment";
  if (reason.empty() || reason == "Priority" || reason == "Resources") return "waits for its turn";
  return fmt::format("waits: {}", reason);
}

bool runs(const std::string& state) {
  static const std::set<std::string> running{"RUNNING",   "COMPLETING", "CONFIGURING",
                                             "STAGE_OUT", "RESIZING",   "SIGNALING"};
  return running.count(state) != 0;
}

/// The digits and underscores that `text` begins with.
std::size_t digits_at(std::string_view text) {
  return std::min(text.find_first_not_of("0123456789_"), text.size());
}

/// The message of a line of Tessera's log that reports an error: "[rank 3] error: MESSAGE".
std::optional<std::string> own_error(std::string_view line) {
  constexpr std::string_view kRank = "[rank ";
  if (line.starts_with(kRank)) {
    const std::string_view behind = line.substr(kRank.size());
    const std::size_t digits = digits_at(behind);
    if (digits > 0 && behind.substr(digits).starts_with("] ")) line = behind.substr(digits + 2);
  }
  for (const std::string_view level : {"error: ", "critical: "}) {
    if (line.starts_with(level)) return std::string(line.substr(level.size()));
  }
  return std::nullopt;
}

/// Whether the job script wrote the line at a start: "2026-03-01T10:00:00 NAME: job 17_1, start 0, on NODES".
bool begins_start(std::string_view line) {
  const std::size_t time = line.find(' ');
  const std::string_view stamp = line.substr(0, time);
  if (time == std::string_view::npos || stamp.find('T') == std::string_view::npos ||
      stamp.find_first_not_of("0123456789-:T") != std::string_view::npos)
    return false;
  constexpr std::string_view kJob = ": job ", kStart = ", start ", kOn = ", on ";
  std::string_view left = line.substr(time);
  for (std::size_t at = left.find(kJob); at != std::string_view::npos; at = left.find(kJob)) {
    left.remove_prefix(at + kJob.size());
    std::string_view rest = left.substr(digits_at(left));
    if (rest.size() == left.size() || !rest.starts_with(kStart)) continue;
    rest.remove_prefix(kStart.size());
    const std::size_t digits = digits_at(rest);
    if (digits > 0 && rest.substr(digits).starts_with(kOn)) return true;
  }
  return false;
}

/// Whether Slurm or the job's shell wrote the line.
bool is_of_slurm(std::string_view line) {
  for (const std::string_view program : {"srun: ", "slurmstepd: ", "bash: "}) {
    if (line.starts_with(program)) return true;
  }
  return line.find("/slurm_script: ") != std::string_view::npos;
}

class StatusReader {
 public:
  explicit StatusReader(const RunFolder& folder) : folder_(folder), jobs_(folder.path()) {
    status_.run_folder = folder.path().string();
    if (!is_folder(folder.path())) {
      throw UsageError(
          fmt::format("{} is not a run folder: name one, or its experiment", folder.path().string()));
    }
    try {
      submission_ = read_submission(jobs_);
    } catch (const Error& damaged) {
      status_.problems.emplace_back(damaged.what());
    }
    for (const char* name : {"jobs/experiment.yaml", "config.yaml", "inference.yaml", "segmentation.yaml"}) {
      if (!config_) config_ = experiment_in(folder.path() / name, status_.problems);
    }
    find_segmentation();
    if (!config_ && !submission_ && !file_exists(folder.path() / "training.json") &&
        !file_exists(folder.path() / "evaluation.json")) {
      throw UsageError(fmt::format("{} holds no file of a run", folder.path().string()));
    }
  }

  RunStatus read() {
    status_.experiment = submission_ ? submission_->experiment : config_ ? config_->name : "";
    if (submission_) status_.submitted = submission_->submitted;
    ask_slurm();
    for (const Stage stage : values_of<Stage>()) {
      StageStatus one = stage_status(stage);
      const bool is_part = stage != Stage::segment || !one.job.empty() || one.all > 0 ||
                           one.state != StageState::not_started || (config_ && config_->segment.wanted);
      if (is_part) status_.stages.push_back(std::move(one));
    }
    return status_;
  }

 private:
  /// The segmentation may be of a later experiment than the training: its own file says what it is.
  void find_segmentation() {
    if (!config_ || submission_) return;
    const auto segmented = experiment_in(folder_.path() / "segmentation.yaml", status_.problems);
    if (segmented) config_->segment = segmented->segment;
  }

  void ask_slurm() {
    if (!submission_ || submission_->jobs.empty()) return;
    try {
      for (JobState& state : job_states(submission_->ids()))
        slurm_[state.id] = state;
    } catch (const Error& error) {
      slurm_answers_ = false;
      status_.problems.push_back(
          fmt::format("{}; these states come from the files of the run", error.what()));
    }
  }

  const JobState* slurm_of(const std::string& id) const {
    const auto found = slurm_.find(id);
    return found == slurm_.end() ? nullptr : &found->second;
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
      add_work(status, work_of(stage, folder_, config_ ? &*config_ : nullptr,
                               submission_ ? submission_->directory : fs::path(), status_.problems));
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

std::string last_error(const fs::path& log) {
  constexpr std::size_t kLongest = 2000;  // of a message; a line of a log may have any length
  std::string own, other;
  for (const std::string& line : split_text(file_tail(log, kLogTail), '\n')) {
    const std::optional<std::string> message = own_error(line);
    if (begins_start(line)) {
      own = other = "";  // an earlier start's, which another followed
    } else if (message) {
      own = *message;
    } else if ((is_of_slurm(line) && line.find("error") != std::string::npos) ||
               (line.find("line ") != std::string::npos &&
                line.find("command not found") != std::string::npos)) {
      other = line;
    }
  }
  std::string& last = own.empty() ? other : own;
  if (last.size() > kLongest)
    last = fmt::format("{} ... ({} characters)", last.substr(0, kLongest), last.size());
  return last;
}

StageStatus judge_job(Stage stage, const std::string& id, const JobState* slurm,
                      const std::vector<JobStart>& starts, const fs::path& log) {
  StageStatus status;
  status.stage = stage;
  status.job = id;
  status.starts = static_cast<std::int64_t>(starts.size());
  const JobStart* last = starts.empty() ? nullptr : &starts.back();
  const auto failure = [&](const std::string& otherwise) {
    const std::string message = last_error(log);
    return message.empty() ? otherwise : message;
  };
  if (slurm != nullptr && slurm->active()) {
    if (slurm->state == "PENDING" && slurm->reason == "DependencyNeverSatisfied") {
      status.state = StageState::cancelled;
      status.why = "the stage before it failed";
    } else if (!runs(slurm->state)) {
      status.state = StageState::waiting;
      status.why = waiting_message(slurm->reason, starts);
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
    if (outcome == "failed" && last->exit_code == kExitStopped)
      status.why = "stopped with its state saved, after slurm.requeues starts: submit again to go on";
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
    for (const std::string& line : split_text(one.why, '\n'))
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
