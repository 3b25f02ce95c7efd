#include <fmt/format.h>

#include <iostream>
#include <set>
#include <sstream>

#include "io/base/console.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/base/log.h"
#include "io/base/split_text.h"
#include "pipeline/cluster/child_program.h"
#include "pipeline/cluster/experiment_stages.h"
#include "pipeline/cluster/job_script.h"
#include "pipeline/cluster/job_table.h"
#include "pipeline/cluster/slurm_client.h"
#include "pipeline/cluster/submission.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/experiment_check.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/infer/inference_volumes.h"
#include "pipeline/inputs/image_inputs.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/shell_text.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

std::set<Stage> stages_named(const std::string& text) {
  std::set<Stage> stages;
  for (const std::string& name : split_text(text, ','))
    stages.insert(stage_of(name));
  if (stages.empty()) throw UsageError("--stages: name some of train, infer, segment, evaluate and report");
  return stages;
}

/// A job to submit. Its request lacks only the id of the job before it.
struct PlannedJob {
  Stage stage = Stage::train;
  std::string script;
  JobRequest request;
  std::vector<std::string> volumes;  ///< of a job array
};

/// The absolute path of the site's environment file; "" without one.
std::string site_env(const SlurmConfig& config) {
  if (!config.site_env.empty()) {
    if (!fs::exists(config.site_env))
      throw UsageError(fmt::format("slurm.site_env: {} does not exist", config.site_env));
    return fs::absolute(config.site_env).string();
  }
  const fs::path usual = "slurm/site.env";
  return fs::exists(usual) ? fs::absolute(usual).string() : "";
}

/// `volumes`: the volumes to predict or to segment; several make these jobs arrays.
std::vector<PlannedJob> plan_jobs(const ExperimentConfig& config, const std::set<Stage>& stages,
                                  const std::vector<InferenceVolume>& volumes, const JobFolder& folder) {
  std::vector<PlannedJob> jobs;
  for (const Stage stage : stages) {
    PlannedJob job;
    job.stage = stage;
    job.request.script = folder.script(stage);
    job.request.arguments = {fs::read_symlink("/proc/self/exe").string(), folder.path().string(),
                             site_env(config.slurm)};
    if ((stage == Stage::infer || stage == Stage::segment) && volumes.size() > 1) {
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

/// The memory of the segmentation's job by its plan, where the experiment does not say it.
void ask_for_memory(ExperimentConfig& config) {
  SlurmResources& job = config.slurm.segment;
  if (!job.memory.empty() || job.tasks_per_node == 0) return;
  constexpr std::int64_t kMib = 1 << 20, kBesideMib = 1024;
  const std::int64_t worker = segmentation_memory(config);
  if (worker > 0)
    job.memory = fmt::format("{}M", job.tasks_per_node * ((worker + kMib - 1) / kMib) + kBesideMib);
}

/// Writes the resolved experiment, and that of each volume, so that later changes of the file do not affect
/// the jobs.
void freeze(const ExperimentConfig& config, const std::vector<InferenceVolume>& volumes,
            const ConfigNeeds& needs, const JobFolder& folder) {
  write_text_file(folder.experiment(), config.resolved_yaml);
  if (volumes.size() < 2) return;
  for (const InferenceVolume& volume : volumes)
    write_text_file(folder.experiment_of(volume.name), experiment_of(config, volume, needs).resolved_yaml);
}

void show_scripts(const std::vector<PlannedJob>& jobs) {
  std::string before;
  for (PlannedJob job : jobs) {
    job.request.after = before;
    const std::string line = shell_text(sbatch_command(job.request));
    std::cout << fmt::format("==== {}\n{}\n==== submitted by\n{}\n\n", job.request.script.string(),
                             job.script, line);
    before = fmt::format("<job of {}>", name_of(job.stage));
  }
}

/// What --dry-run prints.
void show(const std::vector<PlannedJob>& jobs, const ExperimentConfig& config, const JobFolder& folder,
          bool with_scripts) {
  if (with_scripts) show_scripts(jobs);
  std::vector<JobRow> rows;
  rows.reserve(jobs.size());
  for (const PlannedJob& job : jobs) {
    rows.push_back({job.stage, job_name(job.stage, config.name), resources_of(job.stage, config.slurm),
                    job.volumes.size(), job.request.log});
  }
  std::cout << job_table(rows)
            << "nothing was written or submitted. Scripts, logs and the experiment will be in "
            << folder.path().string() << (with_scripts ? "" : "; --dry-run --scripts prints the scripts")
            << "\n"
            << std::flush;
}

void require_no_active_jobs(const JobFolder& folder) {
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

/// Submits the jobs, each to start after the one before it. When Slurm rejects one, the others are cancelled.
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
    spdlog::warn("cancelling the jobs of the earlier stages");
    try {
      cancel_jobs(submission.ids());
    } catch (const Error& error) {
      spdlog::warn("{}", error.what());
    }
    throw;
  }
}

}  // namespace

OptionTable submit_options() {
  po::options_description options("options");
  add_experiment_options(options);
  options.add_options()(
      "stages", po::value<std::string>(),
      "some of train,infer,segment,evaluate,report; default: all whose inputs the experiment names")(
      "dry-run", "show the jobs, submit nothing")("scripts", "with --dry-run: show their scripts too")(
      "unchecked", "submit without opening the volumes, which may not exist yet");
  return options;
}

int run_submit(const OptionValues& values, const Communicator& world) {
  if (values.count("scripts") != 0 && values.count("dry-run") == 0)
    throw UsageError("--scripts goes with --dry-run: it shows the job scripts, and nothing is submitted");
  const ExperimentConfig first = read_experiment(values, {}, world);
  const std::set<Stage> stages =
      values.count("stages") != 0 ? stages_named(values["stages"].as<std::string>()) : stages_of(first);
  // Read again with the needs of these stages, so that missing keys are reported now.
  const ConfigNeeds needs{.training = stages.count(Stage::train) != 0,
                          .inference = stages.count(Stage::infer) != 0,
                          .segmentation = stages.count(Stage::segment) != 0};
  ExperimentConfig config = read_experiment(values, needs, world);
  on_root(world, [&] {
    if (stages.count(Stage::segment) != 0) ask_for_memory(config);
    const JobFolder folder(config.run_folder);
    std::vector<InferenceVolume> volumes;
    if (stages.count(Stage::infer) != 0) {
      volumes = inference_volumes(config);
    } else if (stages.count(Stage::segment) != 0) {
      volumes = segmentation_volumes(config);
    }
    const std::vector<PlannedJob> jobs = plan_jobs(config, stages, volumes, folder);
    if (values.count("dry-run") != 0) {
      show(jobs, config, folder, values.count("scripts") != 0);
      return;
    }
    if (!program_exists("sbatch")) {
      throw UsageError(
          "there is no sbatch here: submit from a login node of a Slurm cluster; --dry-run --scripts "
          "shows the scripts");
    }
    const FileLock lock(folder.record());
    require_no_active_jobs(folder);
    if (values.count("unchecked") == 0) {
      import_images(config, InputUse::all);
      if (Console* log = console()) log->show_warnings_once();
      std::ostringstream plan;  // not shown: problems are thrown
      check_experiment(config, false, plan);
    }
    freeze(config, volumes, {false, needs.inference, needs.segmentation}, folder);
    submit_chain(jobs, {now_utc(), config.name, fs::current_path(), {}}, folder);
    std::cout << fmt::format("logs: {}\nprogress: tessera status {}\n", folder.path().string(),
                             config.run_folder.string())
              << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
