// Compares the memory model of workers/network/network_memory.cpp with the measured peak. Every case runs in
// a separate process. The peak is the growth of VmHWM after the network exists and its weights are packed.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <string>

#include "workers/gradients/gradient_engine.h"
#include "workers/gradients/loss.h"
#include "workers/network/forward_plan.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"

namespace {

using namespace tessera;

std::int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    std::int64_t kib = 0;
    if (name == key && status >> kib) return kib * 1024;
    status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

void run_case(const char* name, const UNetOptions& options, std::int64_t side, bool training,
              at::ScalarType type) {
  if (fork() != 0) {
    wait(nullptr);
    return;
  }
  at::set_num_threads(1);
  auto network = make_network(options, 1);
  std::int64_t before = 0, model = 0;
  if (training) {
    network->train();
    const Precision precision = type == at::kFloat ? Precision::float32 : Precision::bfloat16;
    before = status_bytes("VmRSS:");
    FlatParameters parameters(network, at::kCPU);
    const auto engine = make_gradient_engine(parameters, precision);
    const auto x = at::rand({1, options.in_channels, side, side}).contiguous(at::MemoryFormat::ChannelsLast);
    auto logits = engine->forward(x, 1).requires_grad_(true);
    const auto classes = at::zeros({1, logits.size(2), logits.size(3)}, at::kLong);
    weighted_cross_entropy_sum(logits, classes, at::ones_like(classes, at::kFloat)).backward();
    engine->backward(logits.grad(), {});
    // The model counts two values of an optimizer, which do not exist here.
    model = training_memory(options, side, side, precision, false) - 8 * parameter_count(options);
  } else {
    const c10::InferenceMode inference;
    const Precision precision = type == at::kFloat ? Precision::float32 : Precision::bfloat16;
    const auto engine = make_tile_network(*network, precision, {});
    const std::int64_t smallest = geometry_of(options).input_side_for(16);
    engine->logits(at::rand({1, options.in_channels, smallest, smallest}));  // packs the weights
    std::ofstream("/proc/self/clear_refs") << "5";                           // the peak starts here
    // The engine frees the small tile's activations before it allocates the large one's.
    before =
        status_bytes("VmRSS:") - plan_forward(options, smallest, smallest, type == at::kFloat ? 4 : 2).bytes;
    engine->logits(at::rand({1, options.in_channels, side, side}));
    model = tile_memory(options, side, side, precision, false);
  }
  const double peak = static_cast<double>(status_bytes("VmHWM:") - before), mib = 1 << 20;
  fmt::print("{:<34} {:>5} px  model {:>7.0f} MiB  measured {:>7.0f} MiB  ratio {:.2f}\n", name, side,
             static_cast<double>(model) / mib, peak / mib, static_cast<double>(model) / peak);
  std::fflush(stdout);
  _exit(0);
}

}  // namespace

int main() {
  for (const std::int64_t filters : {16, 64}) {
    UNetOptions valid = unet2015_options(), same = keras_same_options();
    valid.base_filters = same.base_filters = filters;
    for (const std::int64_t k : {30, 60}) {
      const std::int64_t side = 16 * k + 12;
      run_case(fmt::format("unet2015 {} float32", filters).c_str(), valid, side, false, at::kFloat);
      run_case(fmt::format("unet2015 {} bfloat16", filters).c_str(), valid, side, false, at::kBFloat16);
      run_case(fmt::format("keras_same {} float32", filters).c_str(), same, 16 * k, false, at::kFloat);
      run_case(fmt::format("keras_same {} bfloat16", filters).c_str(), same, 16 * k, false, at::kBFloat16);
    }
    for (const std::int64_t side : {476, 700}) {
      run_case(fmt::format("unet2015 {} training", filters).c_str(), valid, side, true, at::kFloat);
      run_case(fmt::format("unet2015 {} training bfloat16", filters).c_str(), valid, side, true,
               at::kBFloat16);
    }
    run_case(fmt::format("keras_same {} training", filters).c_str(), same, 480, true, at::kFloat);
  }
}
