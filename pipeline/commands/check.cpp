#include <fmt/format.h>

#include <iostream>

#include "io/durable_file.h"
#include "io/error.h"
#include "pipeline/command_line.h"
#include "pipeline/commands/commands.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/inference_network.h"
#include "pipeline/inference_plan.h"
#include "pipeline/training_plan.h"
#include "workers/infer/skip_rule.h"
#include "workers/mpi/agree.h"

namespace tessera {

int run_check(const Arguments& arguments, const Communicator& world) {
  namespace po = boost::program_options;
  po::options_description options("options");
  add_experiment_options(options);
  const auto values = parse_arguments(arguments, "tessera check CONFIG.yaml [--set key=value ...]", options, {"config"},
                                      world.is_root());
  if (!values) return kExitDone;
  const ExperimentConfig config = read_experiment(*values, {}, world);
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
    if (config.infer.raw) {
      Device device;
      device.cuda = config.device == "cuda";  // auto is planned for the CPU
      const VolumeInfo raw = VolumeReader(*config.infer.raw).info();
      if (config.infer.skip_mask) BlockMask(*config.infer.skip_mask, raw.shape);  // for its errors
      const InferencePlan plan = plan_inference(config.infer, raw, network, device);
      std::cout << "inference:\n" << plan_text(plan, network);
      const std::int64_t bytes = plan.region.voxels() * config.infer.channels() * size_of(config.infer.type);
      std::cout << fmt::format("  {:<22} {}\n", "result's size", bytes_text(bytes));
    }
    std::cout << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
