#include "workers/train/trainer_model.h"

#include <ATen/DeviceGuard.h>

#include <algorithm>

#include "workers/device/cuda_runtime.h"
#include "workers/device/torch_types.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/cuda_aware.h"
#include "workers/mpi/nccl_sum.h"
#include "workers/network/network.h"

namespace tessera {
namespace {

/// Bytes of a GPU: so many, or that part of what it has.
std::int64_t part_of_memory(const Device& device, std::int64_t bytes, std::int64_t part) {
  return device.memory > 0 ? std::min(bytes, device.memory / part) : bytes;
}

/// How many samples go through the network together.
std::int64_t choose_at_once(const TrainerOptions& options, const NetworkDescription& network,
                            const Device& device) {
  if (options.reproducible || network.has_batch_statistics()) return 1;
  if (options.samples_at_once > 0) return options.samples_at_once;
  if (!device.cuda) return 1;
  const std::int64_t side = options.samples.tile_side;
  const std::int64_t activations =
      training_memory(network, side, side, options.precision, device.cuda) - 16 * parameter_count(network);
  // LibTorch counts the elements of a tensor of an activation in 31 bits.
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
      optimizer(options.optimizer, parameters.values()) {
  if (!options.reproducible && options.sums_on_device.value_or(device.cuda))
    sums.emplace(parameters.device());
  if (options.average_decay > 0) average.emplace(options.average_decay, parameters.values());
  parameters.network().train();
  const bool fits = device.cuda && DeviceSampler::bytes_of(source.data()) <=
                                       part_of_memory(device, kDeviceSamplingBudget, 8);
  if (options.sampling == SamplingPlace::device || (options.sampling == SamplingPlace::automatic && fits))
    sampler = std::make_unique<DeviceSampler>(source, parameters.device(),
                                              device.cuda ? cuda_launcher() : KernelLauncher());
}

void Trainer::Model::connect(const Communicator& workers, const TrainerOptions& options) {
  reducer.emplace(workers, GradientReducerOptions{.wire = options.wire});
  tree.emplace(workers, options.global_batch);
  if (workers.any(!sums)) sums.reset();  // all find out at the same iteration that a loss is not finite
  const bool cuda = parameters.device().is_cuda(), elsewhere = !options.nccl_library.empty();
  const bool float32 = !options.reproducible && options.wire == Wire::float32;
  if (workers.size() == 1 || !(cuda || elsewhere)) return;
  std::string reason = options.reproducible            ? "not with train.reproducible"
                       : options.wire != Wire::float32 ? "not with train.wire: bfloat16"
                       : !options.nccl                 ? "not asked for"
                       : !sums                         ? "a worker keeps its sums on the host"
                                                       : "";
  if (reason.empty()) {
    const at::OptionalDeviceGuard on_device(parameters.device());
    auto found = NcclSum::create(workers, elsewhere ? options.nccl_library : "libnccl.so.2", reason);
    if (found) nccl = std::make_unique<NcclReducer>(std::move(found), parameters.device());
  }
  if (nccl) {
    exchange = nccl->overlaps() ? "NCCL, during the backward pass" : "NCCL, after the backward pass";
  } else if (options.cuda_aware_mpi && float32) {
    on_every_rank(workers, require_cuda_aware_mpi);
    cuda_aware = true;
    exchange = "MPI, in the devices' memory";
  } else {
    exchange = "MPI, through the host's memory, without NCCL: " + reason;
  }
}

}  // namespace tessera
