#include "workers/train/trainer_model.h"

#include <algorithm>

#include "workers/device/cuda_runtime.h"
#include "workers/device/torch_types.h"
#include "workers/network/network.h"

namespace tessera {
namespace {

/// `bytes`, but at most 1 / `part` of a GPU's memory.
std::int64_t part_of_memory(const Device& device, std::int64_t bytes, std::int64_t part) {
  return device.memory > 0 ? std::min(bytes, device.memory / part) : bytes;
}

/// How many samples pass through the network together.
std::int64_t choose_at_once(const TrainerOptions& options, const NetworkDescription& network,
                            const Device& device) {
  if (options.reproducible || network.has_batch_statistics()) return 1;
  if (options.samples_at_once > 0) return options.samples_at_once;
  if (!device.cuda) return 1;
  const std::int64_t side = options.samples.tile_side;
  const std::int64_t activations =
      training_memory(network, side, side, options.precision, device.cuda) - 16 * parameter_count(network);
  // LibTorch indexes an activation's elements with 31 bits.
  const std::int64_t elements = widest_image(network) * side * side;
  const std::int64_t budget = part_of_memory(device, kSamplesAtOnceBudget, 2);
  return std::max<std::int64_t>(
      1, std::min(budget / std::max<std::int64_t>(1, activations), (std::int64_t{1} << 31) / elements));
}

}  // namespace

Trainer::Model::Model(std::shared_ptr<Network> network, const SampleSource& source, const Device& device,
                      const TrainerOptions& options)
    : parameters(std::move(network), torch_device(device)),
      at_once(choose_at_once(options, parameters.network().description(), device)),
      engine(make_gradient_engine(parameters, options.precision, at_once)),
      optimizer(options.optimizer, parameters.values()),
      frozen(parameters, options.frozen),
      reads_each_step(options.reproducible || !options.sums_on_device.value_or(device.cuda)),
      sums(reads_each_step ? at::Device(at::kCPU) : parameters.device()) {
  if (options.average_decay > 0) average.emplace(options.average_decay, parameters.values());
  parameters.network().train();
  const bool fits = device.cuda && DeviceSampler::bytes_of(source.data()) <=
                                       part_of_memory(device, kDeviceSamplingBudget, 8);
  if (options.sampling == SamplingPlace::device || (options.sampling == SamplingPlace::automatic && fits))
    sampler = std::make_unique<DeviceSampler>(source, parameters.device(),
                                              device.cuda ? cuda_launcher() : KernelLauncher());
}

void Trainer::Model::connect(const Communicator& workers, const TrainerOptions& options) {
  // Either all workers read each step or none: all must learn at the same iteration of a loss that is not
  // finite.
  if (workers.any(reads_each_step) && !reads_each_step) {
    reads_each_step = true;
    sums = StepSums(at::kCPU);
  }
  exchange = make_gradient_exchange(workers, parameters.device(),
                                    {.global_batch = options.global_batch,
                                     .reproducible = options.reproducible,
                                     .wire = options.wire,
                                     .nccl = options.nccl,
                                     .nccl_library = options.nccl_library,
                                     .cuda_aware_mpi = options.cuda_aware_mpi,
                                     .sums_on_device = !reads_each_step});
}

}  // namespace tessera
