// The cost of a training sample: with the host's loops, and with the tensor operators that a GPU runs, here
// on one core. Usage: bench_samples TILE ELASTIC SAMPLES VOLUME.h5, which has /volumes/raw and
// /volumes/labels/cells.
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include <atomic>
#include <ctime>
#include <iostream>

#include "workers/network/unet.h"
#include "workers/samples/device_sampler.h"

namespace {

std::atomic<int> operators{0};

}  // namespace

int main(int argc, char** argv) {
  using namespace tessera;
  if (argc != 5) return 2;
  at::set_num_threads(1);
  TrainingDataOptions what;
  what.raw = {argv[4], "/volumes/raw"};
  what.labels = {argv[4], "/volumes/labels/cells"};
  what.sections = {0, 4};
  what.weight_map.w0 = 10;
  const TrainingData data(what);
  SampleOptions options;
  options.tile_side = std::stoll(argv[1]);
  options.augmentation.elastic = std::stod(argv[2]);
  const int samples = std::stoi(argv[3]);
  const SampleSource source(data, geometry_of(unet2015_options()), options);
  DeviceSampler sampler(source, at::kCPU);
  const auto time = [&](const char* what_it_is, const auto& make) {
    make(0);
    const std::clock_t begin = std::clock();  // processor time: the machine may do other work
    for (int i = 1; i <= samples; ++i)
      make(i);
    std::cout << fmt::format("{}: {:.3f} ms a sample\n", what_it_is,
                             1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC / samples);
  };
  time("drawing alone", [&](int i) { source.recipe(i); });
  time("the host's loops", [&](int i) { source.prepare(i); });
  time("tensor operators on the CPU", [&](int i) {
    const SampleRecipe recipe = source.recipe(i);
    sampler.make({&recipe, 1});
  });
  at::addGlobalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction&) -> std::unique_ptr<at::ObserverContext> {
        ++operators;
        return nullptr;
      }).scopes({at::RecordScope::FUNCTION}));
  const SampleRecipe recipe = source.recipe(1);
  sampler.make({&recipe, 1});
  std::cout << fmt::format("operators, those within others and views counted in: {}\n", operators.load());
}
