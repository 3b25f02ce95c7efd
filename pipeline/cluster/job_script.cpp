#include "pipeline/cluster/job_script.h"

#include <fmt/format.h>

#include <cctype>
#include <optional>

#include "io/base/error.h"
#include "pipeline/cluster/job_bash.h"

namespace tessera {
namespace {

std::string plain(const std::string& name) {
  std::string plain;
  for (const char c : name)
    plain += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' ? c : '_';
  return plain.substr(0, 60);
}

/// "#SBATCH --name=value" lines.
class Directives {
 public:
  void add(const char* name, const std::string& value) {
    if (!value.empty()) text_ += fmt::format("#SBATCH --{}={}\n", name, value);
  }
  void add(const char* name, std::int64_t value) {
    if (value > 0) add(name, std::to_string(value));
  }
  void add(const std::string& option) { text_ += fmt::format("#SBATCH {}\n", option); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

Stage stage_of(const std::string& name) {
  const std::optional<Stage> stage = value_named<Stage>(name);
  if (!stage)
    throw UsageError(
        fmt::format("'{}' is no stage: there are train, infer, segment, evaluate and report", name));
  return *stage;
}

const SlurmResources& resources_of(Stage stage, const SlurmConfig& config) {
  switch (stage) {
    case Stage::train:
      return config.train;
    case Stage::infer:
      return config.infer;
    case Stage::segment:
      return config.segment;
    case Stage::evaluate:
      return config.evaluate;
    case Stage::report:
      break;
  }
  return config.report;
}

std::string job_name(Stage stage, const std::string& experiment) {
  return fmt::format("tessera-{}-{}", name_of(stage), plain(experiment));
}

std::string job_script(Stage stage, const SlurmConfig& config, const std::string& experiment,
                       std::int64_t tasks) {
  const SlurmResources& r = resources_of(stage, config);
  Directives lines;
  lines.add("job-name", job_name(stage, experiment));
  lines.add("partition", r.partition);
  lines.add("account", config.account);
  lines.add("qos", config.qos);
  lines.add("nodes", r.nodes);
  if (r.workers_per_node() > 0) {
    lines.add("ntasks-per-node", r.workers_per_node());
  } else {
    lines.add("--exclusive");  // a worker for each NUMA domain
  }
  lines.add("cpus-per-task", r.cpus_per_task);
  lines.add("gpus-per-node", r.gpus_per_node);
  lines.add("time", r.time);
  lines.add("mem", r.memory);
  lines.add("constraint", r.constraint);
  lines.add("mail-user", config.mail_user);
  lines.add("mail-type", config.mail_type);
  for (const std::string& option : config.options)
    lines.add(option);
  if (tasks > 0) {
    lines.add("array", fmt::format("0-{}{}", tasks - 1,
                                   config.array_limit > 0 ? fmt::format("%{}", config.array_limit) : ""));
  }
  lines.add("open-mode", "append");
  lines.add("--requeue");
  lines.add("signal", fmt::format("B:USR2@{}", config.stop_before));
  return fmt::format(
      "#!/bin/bash\n"
      "# The job '{0}' of a Tessera experiment, written by 'tessera submit'.\n"
      "{1}"
      "tessera_stop_before={2} tessera_restarts={3} tessera_requeues={7} tessera_mpi={4}\n"
      "\n{5}\n"
      "program=$1 folder=$2 site_env=$3\n"
      "shift 3\n"
      "# Of a job array, the task's own experiment.\n"
      "[ -z \"${{SLURM_ARRAY_TASK_ID:-}}\" ] || shift \"$SLURM_ARRAY_TASK_ID\"\n"
      "tessera_job {0} \"$program\" \"$folder\" \"$site_env\" \"$1\"{6}\n",
      name_of(stage), lines.text(), config.stop_before, config.restarts, config.mpi, job_bash(),
      stage == Stage::train ? " --resume" : "", config.requeues);
}

}  // namespace tessera
