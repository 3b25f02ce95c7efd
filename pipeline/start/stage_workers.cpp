#include "pipeline/start/stage_workers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "io/base/error.h"
#include "io/stores/dataset_wildcards.h"
#include "io/stores/open_volume.h"
#include "pipeline/cluster/child_program.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/infer/inference_volumes.h"
#include "pipeline/segment/segmentation_plan.h"
#include "pipeline/train/training_plan.h"
#include "pipeline/train/training_volumes.h"

namespace tessera {
namespace {

/// Beyond it a result is written faster than one file system takes it, and ranks cost more than they do.
constexpr std::int64_t kManyWorkers = 1024;

StageDemand training_demand(const ExperimentConfig& config, const Machine& machine) {
  const bool cuda = machine.gpus > 0;
  const std::vector<AnnotatedVolume> volumes = find_volumes(config.data, Communicator::alone());
  const TrainingPlan plan =
      plan_training(config, volumes, {kAnyMemory, training_precision(config, cuda), cuda});
  return {config.train.trainer.global_batch, cuda ? plan.data_bytes : plan.memory_per_worker()};
}

/// That of the first volume.
StageDemand inference_demand(const ExperimentConfig& config, const Machine& machine) {
  if (config.model.torchscript) return {kManyWorkers, 0};
  Device device;
  device.cuda = machine.gpus > 0;
  const std::vector<InferenceVolume> volumes = inference_volumes(config);
  const ExperimentConfig own = experiment_of(config, volumes.front(), {});
  const NetworkTraits network(config.network());
  const InferencePlan plan = plan_inference(own.infer, read_volume_info(*own.infer.raw), network, device);
  return {plan.blocks.count(), device.cuda ? plan.block_bytes : plan.memory_per_worker()};
}

/// That of the first volume.
StageDemand segmentation_demand(const ExperimentConfig& config) {
  const std::vector<InferenceVolume> volumes = segmentation_volumes(config);
  const SegmentConfig own = experiment_of(config, volumes.front(), {.segmentation = true}).segment;
  SegmentationInputs inputs{read_volume_info(*own.prediction), std::nullopt};
  if (own.mask) inputs.mask = read_volume_info(*own.mask);
  const SegmentationPlan plan = plan_segmentation(own, inputs);
  return {plan.blocks.count(), plan.memory_per_worker(size_of(inputs.prediction.type)), false};
}

StageDemand evaluation_demand(const ExperimentConfig& config) {
  const auto& labels = config.evaluate.labels;
  if (!labels || !wildcards_of(*labels).empty()) return {1, 0, false};
  const VolumeInfo info = read_labels_info(*labels);
  const std::int64_t sections = config.evaluate.sections ? config.evaluate.sections->count() : info.shape.z;
  constexpr std::int64_t kBytesPerPixel = 64;  // of one section's scores
  return {sections, (std::int64_t{512} << 20) + kBytesPerPixel * info.shape.y * info.shape.x, false};
}

}  // namespace

StageDemand demand_of(Stage stage, const ExperimentConfig& config, const Machine& machine) {
  switch (stage) {
    case Stage::train:
      return training_demand(config, machine);
    case Stage::infer:
      return inference_demand(config, machine);
    case Stage::segment:
      return segmentation_demand(config);
    case Stage::evaluate:
      return evaluation_demand(config);
    case Stage::report:
      break;
  }
  return {1, 0, false};
}

int workers_for(const StageDemand& demand, const Machine& machine, std::optional<int> wanted) {
  const int usable = demand.uses_gpus ? machine.workers() : machine.cores;
  std::int64_t workers = std::min({std::int64_t{wanted.value_or(usable)}, demand.most_workers, kManyWorkers});
  // A fifth of the memory stays for the file cache and for what the plan does not know.
  if (!wanted && demand.worker_memory > 0)
    workers = std::min(workers, machine.memory / 5 * 4 / demand.worker_memory);
  return static_cast<int>(std::max<std::int64_t>(1, workers));
}

std::vector<std::string> StageLauncher::command(Stage stage, int workers,
                                                const std::vector<std::string>& options) const {
  std::vector<std::string> command;
  if (workers > 1) {
    const bool named = mpirun.find('/') != std::string::npos;
    if (named ? access(mpirun.c_str(), X_OK) != 0 : !program_exists(mpirun)) {
      throw UsageError(fmt::format(
          "{} workers need {}, which is not here: install Open MPI (Debian: openmpi-bin), name its mpirun by "
          "--mpirun, or start one process by --workers 1",
          workers, mpirun));
    }
    const bool has_coordinator = stage == Stage::train || stage == Stage::infer || stage == Stage::segment;
    // Without the messages of mpirun about an exit code other than 0: the stage has told the reason.
    // The coordinator sleeps, so that it needs no core of its own. Workers take their cores themselves.
    command = {
        mpirun, "-n",     std::to_string(workers + (has_coordinator ? 1 : 0)), "--oversubscribe", "--bind-to",
        "none", "--quiet"};
    if (geteuid() == 0) command.emplace_back("--allow-run-as-root");
  }
  command.insert(command.end(), {program, name_of(stage)});
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.insert(command.end(), options.begin(), options.end());
  return command;
}

}  // namespace tessera
