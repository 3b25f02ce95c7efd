#include <fmt/format.h>

#include <iostream>

#include "io/durable_file.h"
#include "io/error.h"
#include "pipeline/command_line.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/inference_network.h"
#include "pipeline/inference_plan.h"
#include "pipeline/training_plan.h"
#include "workers/infer/skip_rule.h"
#include "workers/mpi/agree.h"

namespace tessera {
namespace {

/// The plan of one volume. Opens all that its inference reads.
InferencePlan plan_volume(const ExperimentConfig& config, const NetworkTraits& network) {
  Device device;
  device.cuda = config.device == "cuda";  // auto is planned for the CPU
  const VolumeInfo raw = VolumeReader(*config.infer.raw).info();
  if (config.infer.skip_mask) BlockMask(*config.infer.skip_mask, raw.shape);  // for its errors
  return plan_inference(config.infer, raw, network, device);
}

std::int64_t result_bytes(const InferencePlan& plan, const InferConfig& infer) {
  return plan.region.voxels() * infer.channels() * size_of(infer.type);
}

/// A line for each volume, a word for what is wrong with it. Errors: AgreedError with those that are wrong.
void check_volumes(const ExperimentConfig& config, const std::vector<InferenceVolume>& volumes,
                   const NetworkTraits& network) {
  std::cout << fmt::format("inference of {} volumes:\n", volumes.size());
  std::size_t number = 0;
  std::int64_t bytes = 0;
  for_each_volume(volumes, Communicator::alone(), [&](const InferenceVolume& volume) {
    const std::size_t place = number++;
    const ExperimentConfig own = experiment_of(config, volume, {});
    std::cout << fmt::format("  volume {:>3}: {}: {}", place, volume.name, own.infer.raw->text()) << std::flush;
    try {
      const InferencePlan plan = plan_volume(own, network);
      bytes += result_bytes(plan, own.infer);
      std::cout << fmt::format(" {} {}, {} blocks, tile {}, {}", to_string(plan.raw.shape), name_of(plan.raw.type),
                               plan.blocks.count(), plan.tile_input.y, bytes_text(result_bytes(plan, own.infer)));
      if (own.infer.output) std::cout << ", onto " << own.infer.output->text();
      std::cout << "\n";
    } catch (...) {
      std::cout << " cannot be predicted\n" << std::flush;
      throw;
    }
  });
  std::cout << fmt::format("  {:<22} {}\n", "the results' size", bytes_text(bytes));
}

}  // namespace

int run_check(const Arguments& arguments, const Communicator& world) {
  namespace po = boost::program_options;
  po::options_description options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  const auto values = parse_arguments(
      arguments, "tessera check CONFIG.yaml [--set key=value ...] [--volume NAME | --volume-index N]", options, {"config"},
      world.is_root());
  if (!values) return kExitDone;
  const ExperimentConfig whole = read_experiment(*values, {}, world);
  const bool is_chosen = is_volume_chosen(*values);
  const ExperimentConfig config =
      is_chosen ? experiment_of(whole, chosen_volumes(*values, whole, world).front(), {}) : whole;
  on_root(world, [&] {
    std::cout << "# every key with its value\n" << config.resolved_yaml << "\n";
    const NetworkGeometry geometry = geometry_of(config.model);
    std::cout << fmt::format("network: {} parameters; {}\n", parameter_count(config.model), geometry.legal_sides_text(572));
    NetworkTraits network(config.model);
    if (config.torchscript) {
      network = load_inference_network(config, RunFolder(config.run_folder), Communicator::alone(), false).traits;
    }
    if (!config.data.volumes.empty() || (config.data.raw && config.data.labels)) {
      const std::vector<AnnotatedVolume> volumes = find_volumes(config.data, Communicator::alone());
      const bool cuda = config.device == "cuda";  // auto is planned for the CPU
      const TrainingResources resources{kAnyMemory, training_precision(config, cuda), cuda};
      std::cout << fmt::format("training: {}; {}\n", name_of(resources.precision),
                               plan_text(plan_training(config, volumes, resources), config.model));
      std::cout << volumes_text(volumes);
    }
    const std::vector<InferenceVolume> volumes =
        is_chosen ? std::vector<InferenceVolume>{{config.name, {}}} : inference_volumes(config);
    if (volumes.size() > 1) {
      check_volumes(config, volumes, network);
    } else if (config.infer.raw) {
      const ExperimentConfig own = experiment_of(config, volumes.front(), {});
      const InferencePlan plan = plan_volume(own, network);
      std::cout << "inference:\n" << plan_text(plan, network);
      std::cout << fmt::format("  {:<22} {}\n", "result's size", bytes_text(result_bytes(plan, own.infer)));
    }
    std::cout << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
