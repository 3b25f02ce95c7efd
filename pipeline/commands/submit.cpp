#include <fmt/format.h>

#include <iostream>
#include <set>
#include <sstream>
#include <tuple>

#include "io/base/error.h"
#include "io/base/log.h"
#include "io/stores/dataset_wildcards.h"
#include "pipeline/cluster/child_program.h"
#include "pipeline/cluster/job_script.h"
#include "pipeline/cluster/slurm_client.h"
#include "pipeline/cluster/submission.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/experiment_check.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/infer/inference_volumes.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/run_folder.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

constexpr const char* kUsage =
    "tessera submit CONFIG.yaml [--set key=value ...] [--stages train,infer,evaluate,report] [--dry-run] "
    "[--unchecked]";

bool names_training(const ExperimentConfig& config) {
  return !config.data.volumes.empty() || (config.data.raw && config.data.labels);
}

/// All that the experiment has what is needed for.
std::set<Stage> stages_of(const ExperimentConfig& config) {
  std::set<Stage> stages{Stage::report};
  if (names_training(config)) stages.insert(Stage::train);
  if (config.infer.output) stages.insert(Stage::infer);
  const auto& [prediction, labels] = std::tie(config.evaluate.prediction, config.evaluate.labels);
  // Of many predictions, each needs labels of its own.
  if (prediction && labels && wildcards_of(*prediction).size() == wildcards_of(*labels).size())
    stages.insert(Stage::evaluate);
  return stages;
}

std::set<Stage> stages_named(const std::string& text) {
  std::set<Stage> stages;
  std::istringstream names(text);
  for (std::string name; std::getline(names, name, ',');)
    stages.insert(stage_of(name));
  if (stages.empty()) throw UsageError("--stages: name some of train, infer, evaluate and report");
  return stages;
}

/// A job that is to be submitted, but for the id of the one before it.
struct PlannedJob {
  Stage stage = Stage::train;
  std::string script;
  JobRequest request;
  std::vector<std::string> volumes;  ///< of a job array
};

/// The file of the site's environment, as the jobs are told; "" for none.
std::string site_env(const SlurmConfig& config) {
  if (!config.site_env.empty()) {
    if (!fs::exists(config.site_env))
      throw UsageError(fmt::format("slurm.site_env: {} does not exist", config.site_env));
    return fs::absolute(config.site_env).string();
  }
  const fs::path usual = "slurm/site.env";
  return fs::exists(usual) ? fs::absolute(usual).string() : "";
}

/// `volumes`: what is predicted; several make the prediction a job array.
std::vector<PlannedJob> plan_jobs(const ExperimentConfig& config, const std::set<Stage>& stages,
                                  const std::vector<InferenceVolume>& volumes, const JobFolder& folder) {
  std::vector<PlannedJob> jobs;
  for (const Stage stage : stages) {
    PlannedJob job;
    job.stage = stage;
    job.request.script = folder.script(stage);
    job.request.arguments = {fs::read_symlink("/proc/self/exe").string(), folder.path().string(),
                             site_env(config.slurm)};
    if (stage == Stage::infer && volumes.size() > 1) {
      for (const InferenceVolume& volume : volumes) {
        job.volumes.push_back(volume.name);
        job.request.arguments.push_back(folder.experiment_of(volume.name).string());
      }
    } else {
      job.request.arguments.push_back(folder.experiment().string());
    }
    job.script = job_script(stage, config.slurm, config.name, static_cast<std::int64_t>(job.volumes.size()));
    job.request.log = without_patterns((folder.path() / name_of(stage)).string()) +
                      (job.volumes.empty() ? "-%j.log" : "-%A_%a.log");
    jobs.push_back(job);
  }
  return jobs;
}

/// The experiment as it is now, each volume's own too: what is changed after `submit` does not reach the
/// jobs.
void freeze(const ExperimentConfig& config, const std::vector<InferenceVolume>& volumes,
            const JobFolder& folder) {
  write_text_file(folder.experiment(), config.resolved_yaml);
  if (volumes.size() < 2) return;
  for (const InferenceVolume& volume : volumes)
    write_text_file(folder.experiment_of(volume.name),
                    experiment_of(config, volume, {.inference = true}).resolved_yaml);
}

/// An argument as a shell would take it, for people to read.
std::string for_people(const std::string& argument) {
  const bool plain = !argument.empty() && argument.find_first_not_of(
                                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789_-+=:,./%@") == std::string::npos;
  if (plain) return argument;
  std::string quoted = "'";
  for (const char c : argument)
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

void show(const std::vector<PlannedJob>& jobs) {
  std::string before;
  for (PlannedJob job : jobs) {
    job.request.after = before;
    std::string line;
    for (const std::string& one : sbatch_command(job.request))
      line += (line.empty() ? "" : " ") + for_people(one);
    std::cout << fmt::format("==== {}\n{}\n==== submitted by\n{}\n\n", job.request.script.string(),
                             job.script, line);
    before = fmt::format("<job of {}>", name_of(job.stage));
  }
  std::cout << "nothing was written or submitted\n" << std::flush;
}

void refuse_while_active(const JobFolder& folder) {
  const auto before = read_submission(folder);
  if (!before) return;
  std::string active;
  for (const JobState& state : job_states(before->ids())) {
    if (state.active()) active += (active.empty() ? "" : " ") + state.id;
  }
  if (!active.empty()) {
    throw UsageError(fmt::format(
        "jobs of this run are still in the queue: wait for them, cancel them (scancel {}), or set "
        "another run_folder",
        active));
  }
}

/// Submits one after the other. When one is not taken, those before it are cancelled.
void submit_chain(const std::vector<PlannedJob>& jobs, Submission submission, const JobFolder& folder) {
  for (const PlannedJob& job : jobs)
    write_text_file(job.request.script, job.script);
  std::string before;
  try {
    for (const PlannedJob& job : jobs) {
      JobRequest request = job.request;
      request.after = before;
      const std::string id = submit_job(request);
      submission.jobs.push_back({job.stage, id, job.volumes});
      write_submission(folder, submission);
      std::cout << fmt::format("{:<9} job {}{}{}\n", name_of(job.stage), id,
                               before.empty() ? "" : fmt::format(", after {}", before),
                               job.volumes.empty() ? "" : fmt::format(", {} volumes", job.volumes.size()))
                << std::flush;
      before = id;
    }
  } catch (...) {
    if (submission.jobs.empty()) throw;
    spdlog::warn("the jobs of the stages before are cancelled");
    try {
      cancel_jobs(submission.ids());
    } catch (const Error& error) {
      spdlog::warn("{}", error.what());
    }
    throw;
  }
}

}  // namespace

int run_submit(const Arguments& arguments, const Communicator& world) {
  po::options_description options("options");
  add_experiment_options(options);
  options.add_options()(
      "stages", po::value<std::string>(),
      "which of train,infer,evaluate,report; default: all that the experiment is enough for")(
      "dry-run", "show the scripts, submit nothing")("unchecked",
                                                     "do not look into the volumes first: they are to come");
  const auto values = parse_arguments(arguments, kUsage, options, {"config"}, world.is_root());
  if (!values) return kExitDone;
  const ExperimentConfig first = read_experiment(*values, {}, world);
  const std::set<Stage> stages =
      values->count("stages") != 0 ? stages_named((*values)["stages"].as<std::string>()) : stages_of(first);
  // Once more, for all that is missing to be said now.
  const ConfigNeeds needs{.training = stages.count(Stage::train) != 0,
                          .inference = stages.count(Stage::infer) != 0};
  const ExperimentConfig config = read_experiment(*values, needs, world);
  on_root(world, [&] {
    const JobFolder folder(config.run_folder);
    std::vector<InferenceVolume> volumes;
    if (stages.count(Stage::infer) != 0) volumes = inference_volumes(config);
    const std::vector<PlannedJob> jobs = plan_jobs(config, stages, volumes, folder);
    if (values->count("dry-run") != 0) {
      show(jobs);
      return;
    }
    if (!program_exists("sbatch")) {
      throw UsageError(
          "there is no sbatch here: submit from a login node of a Slurm cluster; --dry-run shows the "
          "scripts");
    }
    refuse_while_active(folder);
    if (values->count("unchecked") == 0) {
      std::ostringstream plan;  // not shown: what is wrong is thrown
      check_experiment(config, false, plan);
    }
    freeze(config, volumes, folder);
    submit_chain(jobs, {now_utc(), config.name, fs::current_path(), {}}, folder);
    std::cout << fmt::format("logs: {}\nhow it goes: tessera status {}\n", folder.path().string(),
                             config.run_folder.string())
              << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
