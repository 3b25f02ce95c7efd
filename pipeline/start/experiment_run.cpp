#include "pipeline/start/experiment_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "io/base/log.h"
#include "io/base/sha256.h"
#include "pipeline/cluster/experiment_stages.h"
#include "pipeline/cluster/run_status.h"
#include "pipeline/report/run_record.h"
#include "pipeline/run/progress.h"
#include "pipeline/run/shell_text.h"
#include "pipeline/start/run_summary.h"
#include "pipeline/start/stage_process.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// "data.labels: a.h5:/x, now b.h5:/x" of each key that differs in these sections of two experiments.
std::vector<std::string> differences(const std::vector<ConfigKey>& before, const std::vector<ConfigKey>& now,
                                     const std::set<std::string>& sections) {
  const auto value_in = [](const std::vector<ConfigKey>& keys, const std::string& key) {
    const auto found = std::ranges::find(keys, key, &ConfigKey::key);
    return found == keys.end() ? std::string("not set") : found->value;
  };
  std::vector<std::string> texts;
  std::set<std::string> seen;
  for (const std::vector<ConfigKey>* keys : {&before, &now}) {
    for (const ConfigKey& one : *keys) {
      const std::string section = one.key.substr(0, one.key.find_first_of(".["));
      if (sections.count(section) == 0 || !seen.insert(one.key).second) continue;
      const std::string old_value = value_in(before, one.key), new_value = value_in(now, one.key);
      if (old_value != new_value)
        texts.push_back(fmt::format("{}: {}, now {}", one.key, old_value, new_value));
    }
  }
  return texts;
}

class ExperimentRun {
 public:
  ExperimentRun(const ExperimentConfig& config, const RunRequest& request)
      : config_(config),
        request_(request),
        folder_(config.run_folder),
        machine_(this_machine(config.device)),
        stages_(stages_of(config)) {}

  int run() {
    setenv("TESSERA_NEXT", "0", 1);  // of the stages: the next one follows by itself
    read_state();
    std::cout << fmt::format("{}: {} on {}\n", config_.name, fmt::join(names(), ", "), machine_.text())
              << std::flush;
    for (const Stage stage : stages_) {
      if (process_.stop_asked()) return tell_stop(stage);
      if (is_left_out(stage)) {
        std::cout << fmt::format("{}: done before{}\n", name_of(stage), work_text(stage)) << std::flush;
        continue;
      }
      const int code = run_stage(stage);
      if (code == kExitStopped) return tell_stop(stage);
      if (code != kExitDone) {
        spdlog::error("{} {}; 'tessera run' goes on from there", name_of(stage),
                      code > 128 ? fmt::format("was ended by signal {}", code - 128)
                                 : fmt::format("ended with exit code {}: its message is above", code));
        return code;
      }
    }
    write_record();
    std::cout << run_summary(config_, seconds_) << std::flush;
    return kExitDone;
  }

 private:
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const Stage stage : stages_)
      all.push_back(name_of(stage));
    return all;
  }

  /// What earlier starts did. Errors: UsageError where they did something else.
  void read_state() {
    if (request_.overwrite || !is_folder(folder_.path())) return;
    try {
      states_ = read_run_status(folder_).stages;
    } catch (const UsageError&) {
      return;  // the folder holds no file of a run
    }
    read_finished();
    const fs::path file = folder_.path() / "config.yaml";
    if (stages_.count(Stage::train) == 0 || !file_exists(file)) return;
    const std::vector<ConfigKey> before = config_keys(file_text(file, kMostText), file.string());
    const std::vector<ConfigKey> now = config_keys(config_.resolved_yaml, "the experiment");
    const std::vector<std::string> other = differences(before, now, {"data", "model"});
    if (!other.empty()) {
      throw UsageError(
          fmt::format("{} holds a training with other data or another network: give this experiment another "
                      "name, or start over with --overwrite\n  {}",
                      folder_.path().string(), fmt::join(other, "\n  ")));
    }
    train_again_ = !differences(before, now, {"train"}).empty();
  }

  void read_finished() {
    const fs::path file = run_record_file(folder_);
    if (!file_exists(file)) return;
    const auto record = parse_json<nlohmann::json>(file_text(file, kMostText));
    finished_as_before_ = json_text_at(record, "experiment_sha256") == digest();
  }

  const StageStatus* state_of(Stage stage) const {
    const auto found = std::ranges::find(states_, stage, &StageStatus::stage);
    return found == states_.end() ? nullptr : &*found;
  }
  bool is_done(Stage stage) const {
    const StageStatus* state = state_of(stage);
    return state != nullptr && state->state == StageState::done;
  }
  bool is_done_or_absent(Stage stage) const { return stages_.count(stage) == 0 || is_done(stage); }
  std::string work_text(Stage stage) const {
    const StageStatus* state = state_of(stage);
    return state == nullptr || state->work.empty() ? "" : ", " + state->work;
  }

  bool is_left_out(Stage stage) const {
    if (stage == Stage::train) return is_done(stage) && !train_again_;
    // The scores are those of this result where all stages of this very experiment ended once.
    if (stage == Stage::evaluate)
      return finished_as_before_ && is_done(stage) && is_done_or_absent(Stage::infer) &&
             is_done_or_absent(Stage::segment) && !segmented_ && is_left_out(Stage::train) &&
             !request_.restart;
    return false;
  }

  int run_stage(Stage stage) {
    std::vector<std::string> options;
    if (stage == Stage::train) options.emplace_back(request_.overwrite ? "--overwrite" : "--resume");
    if (stage == Stage::infer && (request_.overwrite || request_.restart)) options.emplace_back("--restart");
    if (stage == Stage::segment) options.emplace_back(request_.overwrite ? "--restart" : "--update");
    StageLauncher launcher = request_.launcher;
    if (stage == Stage::report) launcher.arguments = {config_.run_folder.string()};
    const std::vector<std::string> command = launcher.command(stage, workers_of(stage), options);
    std::cout << fmt::format("\n{}: {}\n", name_of(stage), shell_text(command)) << std::flush;
    const double begin_s = seconds_now();
    const auto records_before = segmentation_times();
    const int code = process_.run(command);
    if (stage == Stage::segment) segmented_ = segmentation_times() != records_before;
    seconds_.emplace_back(stage, seconds_now() - begin_s);
    return code;
  }

  /// When the records of segmentations were written: a segmentation that had nothing to do writes none.
  std::vector<fs::file_time_type> segmentation_times() const {
    std::vector<fs::file_time_type> times;
    std::vector<fs::path> folders{folder_.path()};
    for (const fs::path& one : paths_in(folder_.path() / "volumes"))
      folders.push_back(one);
    times.reserve(folders.size());
    for (const fs::path& folder : folders) {
      const fs::path record = folder / "segmentation.json";
      times.push_back(file_exists(record) ? fs::last_write_time(record) : fs::file_time_type::min());
    }
    return times;
  }

  int workers_of(Stage stage) const {
    const bool is_whole = (stage == Stage::infer || (stage == Stage::segment && finished_as_before_)) &&
                          is_done(stage) && !request_.restart;
    if (request_.workers == 1 || is_whole) return 1;
    return workers_for(demand_of(stage, config_, machine_), machine_, request_.workers);
  }

  int tell_stop(Stage stage) const {
    spdlog::warn("stopped at {}; its state is saved: start the same command again to go on", name_of(stage));
    return kExitStopped;
  }

  std::string digest() const { return sha256_of(config_.resolved_yaml); }

  void write_record() const {
    nlohmann::json seconds = nlohmann::json::object();
    for (const auto& [stage, elapsed_s] : seconds_)
      seconds[name_of(stage)] = elapsed_s;
    const nlohmann::json record{
        {"experiment_sha256", digest()}, {"finished", now_utc()}, {"seconds", seconds}};
    write_text_file(run_record_file(folder_), json_text(record, 2) + "\n");
  }

  static constexpr std::int64_t kMostText = std::int64_t{1} << 26;

  const ExperimentConfig& config_;
  const RunRequest& request_;
  RunFolder folder_;
  Machine machine_;
  std::set<Stage> stages_;
  StageProcess process_;
  std::vector<StageStatus> states_;
  bool train_again_ = false;         ///< another length, another rate: `train --resume` decides
  bool finished_as_before_ = false;  ///< all stages of this very experiment ended once
  bool segmented_ = false;           ///< by this start
  std::vector<std::pair<Stage, double>> seconds_;
};

}  // namespace

fs::path run_record_file(const RunFolder& folder) {
  return folder.path() / "run.json";
}

int run_experiment(const ExperimentConfig& config, const RunRequest& request) {
  return ExperimentRun(config, request).run();
}

}  // namespace tessera
