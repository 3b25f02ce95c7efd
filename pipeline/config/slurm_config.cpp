#include "pipeline/config/slurm_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>
#include <string_view>

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

std::string text(ConfigSection& section, const std::string& key, const SlurmText& rule) {
  std::string value = section.get<std::string>(key, "");
  require_text(section, key, value, rule);
  return value;
}

SlurmResources read_resources(ConfigSection& slurm) {
  SlurmResources r;
  r.partition = text(slurm, "partition", kName);
  r.nodes = slurm.get<std::int64_t>("nodes", 1, between(1, 100000));
  r.tasks_per_node = slurm.get<std::int64_t>("tasks_per_node", 0, between(0, 4096));
  r.cpus_per_task = slurm.get<std::int64_t>("cpus_per_task", 0, between(0, 4096));
  r.gpus_per_node = slurm.get<std::int64_t>("gpus_per_node", 0, between(0, 64));
  r.time = text(slurm, "time", kTime);
  r.memory = text(slurm, "memory", kMemory);
  r.constraint = text(slurm, "constraint", kConstraint);
  return r;
}

/// `r` overridden by the stage's own section.
SlurmResources changed(SlurmResources r, ConfigSection stage) {
  const auto text_of = [&](const char* key, std::string& value, const SlurmText& rule) {
    const auto own = stage.optional<std::string>(key);
    if (own) require_text(stage, key, *own, rule);
    value = own.value_or(value);
  };
  r.nodes = stage.optional<std::int64_t>("nodes", between(1, 100000)).value_or(r.nodes);
  r.tasks_per_node =
      stage.optional<std::int64_t>("tasks_per_node", between(0, 4096)).value_or(r.tasks_per_node);
  r.cpus_per_task = stage.optional<std::int64_t>("cpus_per_task", between(0, 4096)).value_or(r.cpus_per_task);
  r.gpus_per_node = stage.optional<std::int64_t>("gpus_per_node", between(0, 64)).value_or(r.gpus_per_node);
  text_of("partition", r.partition, kName);
  text_of("time", r.time, kTime);
  text_of("memory", r.memory, kMemory);
  text_of("constraint", r.constraint, kConstraint);
  return r;
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

SlurmConfig read_slurm(ConfigSection slurm) {
  SlurmConfig config;
  const SlurmResources all = read_resources(slurm);
  SlurmResources on_one_node = all;
  on_one_node.nodes = 1;
  on_one_node.gpus_per_node = 0;
  // Where the GPUs decide the number of workers, as many CPU tasks score the sections.
  if (all.tasks_per_node == 0) on_one_node.tasks_per_node = all.gpus_per_node;
  SlurmResources one_task = on_one_node;
  one_task.tasks_per_node = one_task.cpus_per_task = 1;
  config.train = changed(all, slurm.section("train"));
  config.infer = changed(all, slurm.section("infer"));
  config.evaluate = changed(on_one_node, slurm.section("evaluate"));
  config.report = changed(one_task, slurm.section("report"));
  config.account = text(slurm, "account", kName);
  config.qos = text(slurm, "qos", kName);
  config.mail_user = text(slurm, "mail_user", kAddress);
  config.mail_type = text(slurm, "mail_type", kMailType);
  config.array_limit = slurm.get<std::int64_t>("array_limit", 0, between(0, 100000));
  config.stop_before = slurm.get<std::int64_t>("stop_before", config.stop_before, between(10, 65535));
  config.restarts = slurm.get<std::int64_t>("restarts", config.restarts, between(0, 1000));
  config.mpi = slurm.get<std::string>("mpi", config.mpi);
  require_text(slurm, "mpi", config.mpi, kName);
  config.options = slurm.get<std::vector<std::string>>("options", {});
  check_options(slurm, config.options);
  config.site_env = slurm.get<std::string>("site_env", "");
  return config;
}

}  // namespace tessera
