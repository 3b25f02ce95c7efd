#include "gpu_variants.h"

#include <c10/util/Exception.h>

#include <map>

#include "io/base/error.h"
#include "workers/device/cuda_runtime.h"
#include "workers/network/gpu_network.h"
#include "workers/network/network.h"
#include "workers/network/unet.h"

namespace tessera::benchmarks {
namespace {

/// A recorder that throws the cause if it cannot record.
KernelRecorder strict_recorder(bool cuda) {
  const KernelRecorder record = cuda ? cuda_recorder() : KernelRecorder();
  if (!record) throw Error("not on this device, or not in this build");
  return [record](const std::function<void()>& kernels) {
    try {
      return record(kernels);
    } catch (const c10::Error& error) {
      throw Error(std::string("cannot be recorded: ") + error.what_without_backtrace());
    }
  };
}

/// A launcher of custom CUDA kernels that throws the cause if it cannot launch.
KernelLauncher strict_launcher(bool cuda, Precision precision) {
  if (precision != Precision::bfloat16) throw Error("in bfloat16 only");
  const KernelLauncher launch = cuda ? cuda_launcher() : KernelLauncher();
  if (!launch) throw Error("not on this device, or not in this build");
  return [launch](const KernelStart& start, std::span<void*> arguments) {
    try {
      launch(start, arguments);
    } catch (const c10::Error& error) {
      throw Error(error.what_without_backtrace());
    }
  };
}

/// A timer that makes the last choice the fastest, and throws the cause if a choice is not possible.
KernelTimer timer_for_the_last() {
  return [seconds = 1.0](const std::function<void()>& kernels) mutable {
    try {
      kernels();
    } catch (const c10::Error& error) {
      throw Error(error.what_without_backtrace());
    }
    return seconds /= 2;
  };
}

}  // namespace

std::unique_ptr<TileNetwork> network_by(const std::string& way, const Network& network, Precision precision,
                                        const Device& device) {
  static const std::map<std::string, GpuKernels> kKernels = {{"plain", {}},
                                                             {"maxima", {.fused = false, .maxima = true}},
                                                             {"fused", {.fused = true, .maxima = false}},
                                                             {"both", {.fused = true, .maxima = true}},
                                                             {"own", {.own = true}},
                                                             {"all", {.fused = true, .own = true}},
                                                             {"recorded", {}}};
  if (way == "fastest" || way == "by_rule") return make_tile_network(network, precision, device);
  if (way == "exact") return make_tile_network(network, precision, device, ExactTiles::yes);
  if (way == "library") return make_tile_network(network, precision, device, ExactTiles::no);
  if (way == "libtorch") return make_libtorch_network(network, precision, device);
  const auto kernels = kKernels.find(way);
  if (kernels == kKernels.end()) throw UsageError("no way " + way);
  GpuNetworkOptions options{.kernels = kernels->second};
  if (way == "recorded") options.record = strict_recorder(device.cuda);
  if (kernels->second.own) options.launch = strict_launcher(device.cuda, precision);
  return make_gpu_network(network, precision, device, options);
}

std::unique_ptr<GradientEngine> engine_by(const std::string& way, FlatParameters& parameters,
                                          Precision precision, std::int64_t samples_at_once) {
  if (way == "libtorch") return make_autograd_engine(parameters, precision, samples_at_once);
  GpuEngineOptions options;
  if (way == "own" || way == "all") {
    options.launch = strict_launcher(parameters.device().is_cuda(), precision);
    options.kernels = GpuKernels{.fused = way == "all", .own = true};
  } else if (way == "fused")
    options.time = timer_for_the_last();
  else if (way == "recorded")
    options.record = strict_recorder(parameters.device().is_cuda());
  else if (way != "plain")
    throw UsageError("no way " + way);
  return make_gpu_engine(parameters, precision, options);
}

}  // namespace tessera::benchmarks
