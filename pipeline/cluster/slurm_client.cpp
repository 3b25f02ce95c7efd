#include "pipeline/cluster/slurm_client.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "io/base/error.h"
#include "io/base/split_text.h"
#include "pipeline/cluster/child_program.h"

namespace tessera {
namespace {

/// Longer than Slurm's own time-outs.
constexpr double kLimit_s = 120;

std::string trimmed(const std::string& text) {
  const auto end = text.find_last_not_of(" \n\t");
  return end == std::string::npos ? "" : text.substr(0, end + 1);
}

/// The numbers of a list such as "2-5,7", up to the first part that is not a number.
std::vector<int> numbers_of(const std::string& list) {
  std::vector<int> numbers;
  for (const std::string& part : split_text(list, ',')) {
    int first = 0;
    const char* end = part.data() + part.size();
    const auto [at, error] = std::from_chars(part.data(), end, first);
    if (error != std::errc()) break;
    int last = first;
    if (at != end && *at == '-' && std::from_chars(at + 1, end, last).ec != std::errc()) break;
    for (int number = first; number <= last; ++number)
      numbers.push_back(number);
  }
  return numbers;
}

/// One state for each task of a line such as "17_[2-5,7%2]", which squeue prints for waiting tasks.
std::vector<JobState> each_task(const JobState& state) {
  const auto open = state.id.find("_[");
  if (open == std::string::npos) return {state};
  std::vector<JobState> all;
  const std::string list = state.id.substr(open + 2, state.id.find_first_of("%]", open) - open - 2);
  for (const int task : numbers_of(list)) {
    all.push_back(state);
    all.back().id = fmt::format("{}_{}", state.id.substr(0, open), task);
  }
  return all;
}

}  // namespace

bool JobState::active() const {
  static const std::set<std::string> over{"COMPLETED",     "FAILED",    "CANCELLED", "TIMEOUT", "NODE_FAIL",
                                          "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE",  "REVOKED", "PREEMPTED"};
  return over.count(state) == 0;
}

std::string without_patterns(const std::string& path) {
  std::string plain;
  for (const char c : path)
    plain += c == '%' ? std::string("%%") : std::string(1, c);
  return plain;
}

std::vector<std::string> sbatch_command(const JobRequest& request) {
  std::vector<std::string> command{"sbatch", "--parsable", "--output=" + request.log};
  if (!request.after.empty()) {
    command.push_back("--dependency=afterok:" + request.after);
    command.push_back("--kill-on-invalid-dep=yes");
  }
  command.push_back(request.script.string());
  command.insert(command.end(), request.arguments.begin(), request.arguments.end());
  return command;
}

std::string submit_job(const JobRequest& request) {
  const ProgramEnd end = run_program(sbatch_command(request), kLimit_s);
  const std::string id = trimmed(end.output.substr(0, end.output.find(';')));
  if (end.exit_code != 0 || id.empty() || id.find_first_not_of("0123456789") != std::string::npos) {
    throw Error(
        fmt::format("sbatch did not take {}: {}", request.script.string(), trimmed(end.errors + end.output)));
  }
  return id;
}

void cancel_jobs(const std::vector<std::string>& ids) {
  if (ids.empty()) return;
  std::vector<std::string> command{"scancel"};
  command.insert(command.end(), ids.begin(), ids.end());
  const ProgramEnd end = run_program(command, kLimit_s);
  if (end.exit_code != 0)
    throw Error(fmt::format("cannot cancel job {}: {}", fmt::join(ids, ", "), trimmed(end.errors)));
}

std::optional<JobState> parse_squeue_line(const std::string& line) {
  const std::vector<std::string> fields = split_text(line, '|');
  if (fields.size() < 6 || fields[0].empty()) return std::nullopt;
  return JobState{fields[0], fields[1], fields[2] == "None" ? "" : fields[2],
                  fields[3], fields[4], fields[5]};
}

std::optional<JobState> parse_sacct_line(const std::string& line) {
  const std::vector<std::string> fields = split_text(line, '|');
  if (fields.size() < 4 || fields[0].empty() || fields[0].find('.') != std::string::npos) return std::nullopt;
  // "CANCELLED by 1000"
  return JobState{fields[0], fields[1].substr(0, fields[1].find(' ')), "", fields[2], fields[3], ""};
}

std::vector<JobState> job_states(const std::vector<std::string>& ids) {
  std::vector<JobState> states;
  std::set<std::string> known;
  const auto add = [&](const JobState& found) {
    for (const JobState& one : each_task(found)) {
      if (known.insert(one.id).second) states.push_back(one);
    }
  };
  // One job per call: squeue prints nothing for a list with an unknown job. It cuts long lists of tasks
  // unless SLURM_BITSTR_LEN is 0.
  for (const std::string& id : ids) {
    const ProgramEnd end = run_program(
        {"squeue", "--noheader", "--array", "--states=all", "--jobs=" + id, "--format=%i|%T|%r|%N|%M|%l"},
        kLimit_s, {{"SLURM_BITSTR_LEN", "0"}});
    if (end.exit_code != 0 && end.errors.find("Invalid job id") == std::string::npos) {
      throw Error(fmt::format("squeue gives no answer: {}", trimmed(end.errors)));
    }
    for (const std::string& line : split_text(end.output, '\n')) {
      if (const auto state = parse_squeue_line(line)) add(*state);
    }
  }
  if (!program_exists("sacct")) return states;
  const ProgramEnd end =
      run_program({"sacct", "-X", "--noheader", "--parsable2", "--format=JobID,State,NodeList,Elapsed",
                   fmt::format("--jobs={}", fmt::join(ids, ","))},
                  kLimit_s);
  if (end.exit_code != 0) return states;  // no accounting here
  for (const std::string& line : split_text(end.output, '\n')) {
    if (const auto state = parse_sacct_line(line)) add(*state);
  }
  return states;
}

}  // namespace tessera
