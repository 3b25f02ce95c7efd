#include "pipeline/config/slurm_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <string_view>
#include <utility>

#include "io/base/split_text.h"

namespace tessera {
namespace {

/// The form of a text that Slurm accepts, and advice for a message.
struct SlurmText {
  const char* pattern;
  const char* advice;
};
// No pattern allows a space, a quote, '#', '%', '\' or '$', which have a meaning in a #SBATCH line.
constexpr SlurmText kName{"[A-Za-z0-9_.,+-]+", "letters, digits and _ . , + - are possible"};
constexpr SlurmText kConstraint{"[A-Za-z0-9_.,+&|*()\\[\\]:=!-]+", "features joined by & | or ,"};
constexpr SlurmText kTime{"([0-9]+-)?[0-9]+(:[0-9]{1,2}){0,2}",
                          "write minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES:SECONDS, in quotes"};
constexpr SlurmText kMemory{"[0-9]+[KMGT]?", "write a number of MiB, or one with K, M, G or T, such as 64G"};
constexpr SlurmText kAddress{"[A-Za-z0-9_.+@-]+", "an address or a user's name"};
constexpr SlurmText kMailType{"[A-Z0-9_]+(,[A-Z0-9_]+)*", "such as END,FAIL"};
constexpr SlurmText kOption{"--[a-z][a-z0-9-]*(=[A-Za-z0-9_.,:+@&|*()\\[\\]/=!-]+)?",
                            "write --name or --name=value, without spaces and quotes"};

/// The options that the scripts set.
constexpr std::array kOwnOptions{"job-name",      "output",          "error",
                                 "open-mode",     "requeue",         "no-requeue",
                                 "signal",        "dependency",      "kill-on-invalid-dep",
                                 "array",         "parsable",        "wait",
                                 "wrap",          "chdir",           "nodes",
                                 "ntasks",        "ntasks-per-node", "input",
                                 "test-only",     "export",          "export-file",
                                 "gpus-per-task", "tres-per-task",   "ntasks-per-gpu",
                                 "clusters",      "workdir",         "tasks-per-node",
                                 "help",          "usage",           "version"};

/// Whether sbatch takes `name` for an option that the scripts set. Like every program that uses getopt_long,
/// it accepts an option's first letters, such as --wra for --wrap.
bool is_own_option(const std::string& name) {
  if (name == "gpus") return false;  // an option of this name exists: it abbreviates no other
  return std::ranges::any_of(kOwnOptions,
                             [&](const char* own) { return std::string_view(own).starts_with(name); });
}

void require_text(ConfigSection& section, const std::string& key, const std::string& text,
                  const SlurmText& rule) {
  constexpr std::size_t kLongest = 1000;  // std::regex recurses for each character
  if (text.size() > kLongest) {
    section.problem(key,
                    fmt::format("{} characters are too many for Slurm (at most {})", text.size(), kLongest));
  } else if (!text.empty() && !std::regex_match(text, std::regex(rule.pattern))) {
    section.problem(key, fmt::format("'{}' is not valid in Slurm: {}", text, rule.advice));
  }
}

std::string text(ConfigSection& section, const Key& key, const SlurmText& rule) {
  std::string value = section.get<std::string>(key, "");
  require_text(section, key.name, value, rule);
  return value;
}

/// Reads the resources of `slurm:` itself, or of one of its stages, whose defaults are `defaults`.
class ResourceReader {
 public:
  ResourceReader(ConfigSection section, const SlurmResources& defaults, bool is_stage)
      : section_(std::move(section)), result_(defaults), is_stage_(is_stage) {}

  void number(Key key, std::int64_t SlurmResources::*member, const Range& range) {
    add_fallback(key);
    std::int64_t& value = result_.*member;
    value = is_stage_ ? section_.optional<std::int64_t>(key, range).value_or(value)
                      : section_.get<std::int64_t>(key, value, range);
  }
  void text(Key key, std::string SlurmResources::*member, const SlurmText& rule) {
    add_fallback(key);
    std::string& value = result_.*member;
    if (!is_stage_) {
      value = section_.get<std::string>(key, value);
      require_text(section_, key.name, value, rule);
    } else if (const auto own = section_.optional<std::string>(key)) {
      require_text(section_, key.name, *own, rule);
      value = *own;
    }
  }
  const SlurmResources& result() const { return result_; }

 private:
  void add_fallback(Key& key) const {
    const std::string all = "slurm." + key.name;
    if (is_stage_ && key.notes.fallback.empty()) key.notes.fallback = all;
    if (is_stage_) key.notes.related = all;
  }

  ConfigSection section_;
  SlurmResources result_;
  bool is_stage_;
};

/// What a small stage asks for by default, in plain text; all empty where it asks for the same as the others.
struct SmallStage {
  std::string partition, nodes, tasks, cores, gpus, time, memory, constraint;
};

SlurmResources read_resources(ConfigSection section, const SlurmResources& defaults, bool is_stage,
                              const SmallStage& small = {}) {
  ResourceReader reader(std::move(section), defaults, is_stage);
  reader.text({"partition",
               "The partition (queue) of the job. Empty: the cluster's default.",
               {.example = "gpu", .fallback = small.partition}},
              &SlurmResources::partition, kName);
  reader.number({"nodes", "The number of nodes.", {.example = "2", .fallback = small.nodes}},
                &SlurmResources::nodes, between(1, 100000));
  reader.number(
      {"tasks_per_node",
       "The workers on each node; the coordinator is one more task, and sleeps. 0: one per GPU; without GPUs "
       "one per NUMA domain of whole nodes (--exclusive).",
       {.example = "4", .fallback = small.tasks, .related = "slurm.cpus_per_task slurm.gpus_per_node"}},
      &SlurmResources::tasks_per_node, between(0, 4096));
  reader.number({"cpus_per_task",
                 "The cores of each worker. 0: the cluster's default.",
                 {.example = "8",
                  .fallback = small.cores,
                  .related = "slurm.tasks_per_node train.threads infer.threads"}},
                &SlurmResources::cpus_per_task, between(0, 4096));
  reader.number({"gpus_per_node",
                 "The GPUs on each node. 0: none.",
                 {.example = "4", .fallback = small.gpus, .related = "slurm.tasks_per_node"}},
                &SlurmResources::gpus_per_node, between(0, 64));
  reader.text(
      {"time",
       "The time limit of one start: minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES:SECONDS. A longer "
       "job continues in another start. Empty: the cluster's default.",
       {.example = "\"04:00:00\"", .fallback = small.time, .related = "slurm.stop_before slurm.requeues"}},
      &SlurmResources::time, kTime);
  reader.text({"memory",
               "The memory of each node, in MiB, or with K, M, G or T. Empty: the cluster's default.",
               {.example = "64G", .fallback = small.memory}},
              &SlurmResources::memory, kMemory);
  reader.text({"constraint",
               "Features that the nodes must have, as sbatch --constraint. Empty: none.",
               {.example = "a100", .fallback = small.constraint}},
              &SlurmResources::constraint, kConstraint);
  return reader.result();
}

constexpr std::int64_t kEvaluateTasks = 4, kEvaluateGib = 8, kReportGib = 4, kReportSeconds = 1800;

/// The resources of each stage.
void read_stages(ConfigSection& slurm, const SlurmResources& all, std::int64_t segment_memory,
                 SlurmConfig& config) {
  const char* page_text = "The resources of this stage, where they differ from those of slurm.";
  config.train = read_resources(slurm.section({"train", page_text}), all, true);
  config.infer = read_resources(slurm.section({"infer", page_text}), all, true);
  const std::string no_gpus = ", or empty where slurm.gpus_per_node is set";
  SmallStage small;
  small.partition = "slurm.partition" + no_gpus;
  small.constraint = "slurm.constraint" + no_gpus;
  small.tasks = "slurm.tasks_per_node, or slurm.gpus_per_node";
  small.gpus = "0";
  small.memory =
      "slurm.memory, or by the plan; where segment.memory_budget_mib is set, that for each worker and 1 GiB";
  config.segment = read_resources(slurm.section({"segment", "The resources of this stage. It needs no GPU."}),
                                  without_gpus(all, segment_memory), true, small);
  small = SmallStage{"slurm.partition" + no_gpus,
                     "1",
                     fmt::format("at most {}", kEvaluateTasks),
                     "1",
                     "0",
                     "slurm.time",
                     fmt::format("{} GiB per task, at most slurm.memory, where that is set", kEvaluateGib),
                     "slurm.constraint" + no_gpus};
  const char* small_text = "The resources of this stage. It asks for little, and for no GPU.";
  config.evaluate = read_resources(slurm.section({"evaluate", small_text}),
                                   small_resources(all, kEvaluateTasks, kEvaluateGib, 0), true, small);
  small.tasks = "1";
  small.time = fmt::format("{} minutes, at most slurm.time, where that is set", kReportSeconds / 60);
  small.memory = fmt::format("{} GiB, at most slurm.memory, where that is set", kReportGib);
  config.report = read_resources(slurm.section({"report", small_text}),
                                 small_resources(all, 1, kReportGib, kReportSeconds), true, small);
}

/// The MiB of `memory`, in the form of kMemory.
std::int64_t slurm_mebibytes(const std::string& memory) {
  double mebibytes = std::stod(memory);
  const std::map<char, double> units{{'K', 1.0 / 1024}, {'G', 1024.0}, {'T', 1024.0 * 1024}};
  if (const auto unit = units.find(memory.back()); unit != units.end()) mebibytes *= unit->second;
  return static_cast<std::int64_t>(std::min(mebibytes, 1e15));
}

bool has_form(const std::string& text, const SlurmText& rule) {
  return !text.empty() && text.size() < 20 && std::regex_match(text, std::regex(rule.pattern));
}

void check_options(ConfigSection& slurm, const std::vector<std::string>& options) {
  for (const std::string& option : options) {
    require_text(slurm, "options", option, kOption);
    const std::string name =
        option.substr(0, option.find('=')).substr(std::min<std::size_t>(2, option.size()));
    if (is_own_option(name)) slurm.problem("options", fmt::format("--{} is set by the job scripts", name));
  }
}

}  // namespace

std::int64_t slurm_seconds(const std::string& time) {
  const std::size_t dash = time.find('-');
  const bool has_days = dash != std::string::npos;
  std::vector<std::int64_t> parts;
  for (const std::string& part : split_text(has_days ? time.substr(dash + 1) : time, ':'))
    parts.push_back(std::stoll(part));
  if (has_days) {
    parts.resize(3);
    return ((24 * std::stoll(time.substr(0, dash)) + parts[0]) * 60 + parts[1]) * 60 + parts[2];
  }
  if (parts.size() == 3) return (parts[0] * 60 + parts[1]) * 60 + parts[2];
  parts.resize(2);
  return parts[0] * 60 + parts[1];
}

SlurmResources small_resources(const SlurmResources& all, std::int64_t tasks, std::int64_t gib_per_task,
                               std::int64_t longest) {
  SlurmResources small = all;
  small.nodes = 1;
  small.tasks_per_node = all.workers_per_node() > 0 ? std::min(all.workers_per_node(), tasks) : tasks;
  small.cpus_per_task = 1;
  const std::int64_t mebibytes = 1024 * gib_per_task * small.tasks_per_node;
  if (has_form(all.memory, kMemory) && slurm_mebibytes(all.memory) > mebibytes)
    small.memory = fmt::format("{}G", mebibytes / 1024);
  if (longest > 0 && has_form(all.time, kTime) && slurm_seconds(all.time) > longest)
    small.time = fmt::format("00:{:02}:{:02}", longest / 60, longest % 60);
  if (all.gpus_per_node > 0) small.partition = small.constraint = "";
  small.gpus_per_node = 0;
  return small;
}

SlurmResources without_gpus(const SlurmResources& all, std::int64_t worker_memory) {
  SlurmResources stage = all;
  stage.tasks_per_node = all.workers_per_node();
  if (all.gpus_per_node > 0) stage.partition = stage.constraint = "";
  stage.gpus_per_node = 0;
  constexpr std::int64_t kMib = 1 << 20, kBesideMib = 1024;
  if (worker_memory > 0 && stage.tasks_per_node > 0)
    stage.memory = fmt::format("{}M", stage.tasks_per_node * (worker_memory / kMib) + kBesideMib);
  return stage;
}

SlurmConfig read_slurm(ConfigSection slurm, std::int64_t segment_memory) {
  SlurmConfig config;
  const SlurmResources all = read_resources(slurm, SlurmResources{}, false);
  config.account = text(
      slurm, {"account", "The account to charge. Empty: the user's default.", {.example = "em-lab"}}, kName);
  config.qos = text(
      slurm, {"qos", "The quality of service. Empty: the account's default.", {.example = "long"}}, kName);
  config.mail_user = text(slurm,
                          {"mail_user",
                           "The address for Slurm's mail. Empty: the user.",
                           {.example = "me@lab.org", .related = "slurm.mail_type"}},
                          kAddress);
  config.mail_type = text(slurm,
                          {"mail_type",
                           "The events to mail, separated by commas. Empty: none.",
                           {.example = "\"END,FAIL\"", .related = "slurm.mail_user"}},
                          kMailType);
  config.array_limit =
      slurm.get<std::int64_t>({"array_limit",
                               "With many volumes, how many are predicted at the same time. 0: any number.",
                               {.example = "8", .related = "infer.raw"}},
                              0, between(0, 100000));
  config.stop_before = slurm.get<std::int64_t>(
      {"stop_before",
       "Seconds before the time limit when Slurm warns a job at the latest. The job then saves its state.",
       {.example = "300", .related = "slurm.time slurm.requeues"}},
      config.stop_before, between(10, 65535));
  config.restarts = slurm.get<std::int64_t>({"restarts",
                                             "How often a job is restarted after a rank died.",
                                             {.example = "10", .related = "slurm.requeues"}},
                                            config.restarts, between(0, 1000));
  config.requeues = slurm.get<std::int64_t>({"requeues",
                                             "How often a job that stopped with its state saved, at its time "
                                             "limit or when it was preempted, is requeued. "
                                             "Then it fails; another submit continues it.",
                                             {.example = "200", .related = "slurm.time slurm.restarts"}},
                                            config.requeues, between(0, 100000));
  config.mpi = slurm.get<std::string>(
      {"mpi", "How srun starts MPI: one of `srun --mpi=list`.", {.example = "pmi2"}}, config.mpi);
  require_text(slurm, "mpi", config.mpi, kName);
  config.options =
      slurm.get<std::vector<std::string>>({"options",
                                           "More options for sbatch, --name or --name=value each.",
                                           {.example = "[--reservation=em, --exclude=node7]"}},
                                          {});
  check_options(slurm, config.options);
  config.site_env = slurm.get<std::string>(
      {"site_env",
       "A file that every job sources first: modules, containers. Empty: slurm/site.env, where it exists.",
       {.example = "/home/me/site.env", .form = "a file"}},
      "");
  read_stages(slurm, all, segment_memory, config);
  return config;
}

}  // namespace tessera
