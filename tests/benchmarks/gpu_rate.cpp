// Serves the scripts gpu_*.py. Each line of standard input is a request; the reply is a line of numbers, or
// "error: MESSAGE".
//   product N REPEATS                     seconds of a product of two N x N matrices in bfloat16
//   copy MIB REPEATS                      seconds of a copy on the device
//   network WAY PRECISION SIDE REPEATS    seconds of a forward pass to logits, the output's side, their mean
//   passes WAY PRECISION SIDE SAMPLES REPEATS         seconds of a forward and a backward pass, the logits'
//   mean predict PRECISION TILE CORES SECTIONS seconds of TilePredictor::predict over a block of CORES^2
//   tiles a section train PRECISION TILE BATCH ELASTIC STEPS [at_once=N] [samples=host|device] [report=N]
//                                         seconds of one of STEPS iterations, the last one's loss and share
//                                         of waiting for samples
//   cost SIDE BATCH                       FLOP and bytes, computed: of a forward pass, of a training sample
// WAY is a name from gpu_variants.h.
// Usage: bench_gpu cpu|cuda FILTERS THREADS NETWORK.pt (which it writes)
//        bench_gpu --cost                 prints the computed costs of the paper's network and ends
//        bench_gpu --volume FILE Z,Y,X GZIP       writes a textured volume and ends
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <torch/cuda.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>

#include "gpu_variants.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "network_cost.h"
#include "tests/unit/temporary_folder.h"
#include "tests/unit/workers/samples/training_volumes.h"
#include "texture_volume.h"
#include "workers/device/torch_types.h"
#include "workers/infer/tile_predictor.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"
#include "workers/network/torchscript_export.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"

namespace {

using namespace tessera;

Precision precision_of(const std::string& name) {
  if (const auto precision = value_named<Precision>(name)) return *precision;
  throw UsageError("no precision " + name);
}

class Bench {
 public:
  Bench(const std::string& kind, std::int64_t filters, int threads, const std::string& network_file)
      : device_(choose_device(Communicator::alone(), true, kind, threads)) {
    choose_algorithms(device_, /*reproducible=*/false);  // as PyTorch, which is compared
    network_options_.base_filters = filters;
    network_ = make_network(network_options_, 1);
    export_torchscript(*network_, {}, network_file);
  }

  std::string text() const { return device_.text(); }

  std::string answer(const std::string& what, std::istream& in) {
    if (what == "product") return product(in);
    if (what == "copy") return copy(in);
    if (what == "network") return forward(in);
    if (what == "passes") return passes(in);
    if (what == "predict") return predict(in);
    if (what == "train") return train(in);
    if (what == "cost") return cost(in);
    throw UsageError("cannot " + what);
  }

 private:
  at::Device on() const { return torch_device(device_); }
  void wait() const {
    if (device_.cuda) torch::cuda::synchronize(device_.index);
  }
  /// Seconds per run of `repeats` runs; a GPU does not wait between them.
  template <class Work>
  double seconds_of(int repeats, const Work& work) const {
    wait();
    const double begin_s = seconds_now();
    for (int i = 0; i < repeats; ++i)
      work();
    wait();
    return (seconds_now() - begin_s) / repeats;
  }

  std::string product(std::istream& in) const {
    std::int64_t n = 0;
    int repeats = 1;
    in >> n >> repeats;
    const c10::InferenceMode inference;
    const auto random = [&] {
      return at::randn({n, n}, at::TensorOptions(at::kFloat).device(on())).to(at::kBFloat16);
    };
    const at::Tensor a = random(), b = random();
    at::Tensor c = at::empty_like(a);
    return fmt::format("{}", seconds_of(repeats, [&] { at::mm_out(c, a, b); }));
  }

  std::string copy(std::istream& in) const {
    std::int64_t mib = 0;
    int repeats = 1;
    in >> mib >> repeats;
    const c10::InferenceMode inference;
    const auto bytes = at::TensorOptions(at::kByte).device(on());
    const at::Tensor from = at::ones({mib << 20}, bytes);
    at::Tensor to = at::zeros({mib << 20}, bytes);
    return fmt::format("{}", seconds_of(repeats, [&] { to.copy_(from); }));
  }

  /// Not constant, because constants cost a GPU less power. gpu_rate.py makes the same.
  at::Tensor pixels(std::int64_t side) const {
    const at::Tensor numbers = at::arange(side * side, at::TensorOptions(at::kLong).device(on()));
    return ((numbers * 7919).remainder(1009).to(at::kFloat) / 504.5 - 1).reshape({1, 1, side, side});
  }

  std::string forward(std::istream& in) {
    std::string way, precision;
    std::int64_t side = 0;
    int repeats = 1;
    in >> way >> precision >> side >> repeats;
    const c10::InferenceMode inference;
    auto& network = networks_[fmt::format("{} {} {}", way, precision,
                                          side)];  // each chooses kernels for its first size
    if (!network) network = benchmarks::network_by(way, *network_, precision_of(precision), device_);
    const at::Tensor input = pixels(side);
    at::Tensor logits;
    std::optional<HeuristicAlgorithms> by_rule;
    if (way == "by_rule" || way == "library" || way == "exact") by_rule.emplace(device_);
    const double seconds = seconds_of(repeats, [&] { logits = network->logits(input); });
    return fmt::format("{} {} {}", seconds, logits.size(2), logits.mean().item<double>());
  }

  std::string passes(std::istream& in) {
    std::string way, precision;
    std::int64_t side = 0, samples = 1;
    int repeats = 1;
    in >> way >> precision >> side >> samples >> repeats;
    if (!parameters_) {
      parameters_ = std::make_unique<FlatParameters>(make_network(network_options_, 1), on());
      parameters_->network().train();
    }
    auto& engine = engines_[fmt::format("{} {} {}", way, precision, samples)];
    if (!engine) engine = benchmarks::engine_by(way, *parameters_, precision_of(precision), samples);
    const at::Tensor input =
        pixels(side).repeat({samples, 1, 1, 1}).contiguous(at::MemoryFormat::ChannelsLast);
    const std::vector<std::uint64_t> dropout_seeds(static_cast<std::size_t>(samples), 1);
    at::Tensor logits, gradient;
    const double seconds = seconds_of(repeats, [&] {
      parameters_->sums().zero_();
      engine->parameters_changed();
      logits = engine->forward(input, dropout_seeds);
      if (!gradient.defined()) gradient = at::full_like(logits, 1.0 / static_cast<double>(logits.numel()));
      engine->backward(gradient, {});
    });
    return fmt::format("{} {}", seconds, logits.mean().item<double>());
  }

  std::string predict(std::istream& in) {
    std::string precision;
    std::int64_t tile = 0, cores = 1, sections = 1;
    in >> precision >> tile >> cores >> sections;
    auto& predictor = predictors_[fmt::format("{} {}", precision, tile)];
    if (!predictor) {
      PredictorOptions options;
      options.normalisation = {127, 60};
      options.precision = precision_of(precision);
      options.device = device_;
      predictor = std::make_unique<TilePredictor>(network_, options);
    }
    const NetworkGeometry geometry = geometry_of(network_options_);
    const std::int64_t side = cores * geometry.core_side(tile);
    const Index3 shape{sections, side, side};
    VoxelBuffer raw(VoxelType::uint8, shape);
    std::uint32_t state = 1;
    for (std::uint8_t& voxel : raw.as<std::uint8_t>())
      voxel = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
    const Box block = Box::of_shape(shape);
    const std::vector<Tile> tiles = TileGrid(geometry, shape, {1, tile, tile}, 0).tiles_of(block);
    const double seconds = seconds_of(1, [&] { predictor->predict(raw, block, shape, tiles, block, {}); });
    return fmt::format("{} {} {}", seconds, volume_of(shape), tiles.size());
  }

  std::string train(std::istream& in) {
    std::string precision;
    std::int64_t steps = 1, report_every = 1;
    TrainerOptions options;  // the paper's: SGD with a momentum of 0.99
    in >> precision >> options.samples.tile_side >> options.global_batch >>
        options.samples.augmentation.elastic >> steps;
    options.prefetch_threads = std::max(1, device_.threads - 1);
    options.precision = precision_of(precision);
    options.optimizer.learning_rate = 1e-5;
    std::string key = fmt::format("{} {} {} {}", precision, options.samples.tile_side, options.global_batch,
                                  options.samples.augmentation.elastic);
    for (std::string word; in >> word; key += " " + word) {
      const auto [name, value] = setting(word);
      if (name == "at_once")
        options.samples_at_once = std::stoll(value);
      else if (name == "samples")
        options.sampling = value == "host" ? SamplingPlace::host : SamplingPlace::device;
      else if (name == "report")
        report_every = std::stoll(value);
      else
        throw UsageError("no setting " + word);
    }
    make_training_data();
    auto& trainer = trainers_[key];
    if (!trainer) {
      trainer =
          std::make_unique<Trainer>(make_network(network_options_, 1), *data_, options, device_, alone_);
    }
    TrainingStep last;
    const double seconds = seconds_of(1, [&] {
      for (std::int64_t i = 1; i <= steps; ++i) {
        trainer->advance();
        if (i % report_every == 0 || i == steps)
          trainer->report([&](const TrainingStep& step) { last = step; });
      }
    });
    return fmt::format("{} {} {}", seconds / static_cast<double>(steps), last.loss, last.waiting_share);
  }

  static std::pair<std::string, std::string> setting(const std::string& word) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) throw UsageError("no setting " + word);
    return {word.substr(0, equals), word.substr(equals + 1)};
  }

  /// Two sections of discs, class 1.
  void make_training_data() {
    if (data_) return;
    constexpr Index3 shape{2, 1024, 1024};
    const auto disc = [](const Index3& p) { return std::hypot(p.y % 50 - 25, p.x % 40 - 20) < 12; };
    TrainingDataOptions options;
    options.raw = tessera::testing::write_volume(
        folder_ / "v.h5", "raw", VoxelType::uint8, shape, [&](const Index3& p) {
          return static_cast<double>((disc(p) ? 160 : 90) + (p.y * 7 + p.x * 13) % 50);
        });
    options.labels = tessera::testing::write_volume(folder_ / "v.h5", "labels", VoxelType::uint8, shape,
                                                    [&](const Index3& p) { return disc(p) ? 1.0 : 0.0; });
    options.sections = {0, 2};
    data_ = std::make_unique<TrainingData>(options);
  }

  std::string cost(std::istream& in) const {
    std::int64_t side = 0;
    double batch = 1;
    in >> side >> batch;
    const auto forward = benchmarks::forward_cost(network_options_, side, 2),
               training = benchmarks::training_cost(network_options_, side, 2, batch);
    return fmt::format("{} {} {} {}", forward.flop, forward.bytes, training.flop, training.bytes);
  }

  Device device_;
  UNetOptions network_options_ = unet2015_options();
  std::shared_ptr<Network> network_;
  std::map<std::string, std::unique_ptr<TileNetwork>> networks_;
  std::unique_ptr<FlatParameters> parameters_;  ///< of all engines
  std::map<std::string, std::unique_ptr<GradientEngine>> engines_;
  std::map<std::string, std::unique_ptr<TilePredictor>> predictors_;
  tessera::testing::TemporaryFolder folder_;
  std::unique_ptr<TrainingData> data_;
  Communicator alone_ = Communicator::alone();
  std::map<std::string, std::unique_ptr<Trainer>> trainers_;
};

void print_costs() {
  const UNetOptions paper = unet2015_options();
  fmt::print(
      "computed, 64 filters, activations of 2 bytes; training: one sample of a batch of 8\n"
      "  input  output   forward GFLOP      GB  FLOP/byte  kFLOP/output px   training GFLOP      GB  "
      "FLOP/byte\n");
  for (const std::int64_t side : {572, 1020, 2044, 4092}) {
    const auto forward = benchmarks::forward_cost(paper, side, 2),
               training = benchmarks::training_cost(paper, side, 2, 8);
    const auto out = static_cast<double>(side - 184);
    fmt::print("  {:>5} {:>7} {:>15.1f} {:>7.2f} {:>10.0f} {:>16.0f} {:>16.1f} {:>7.2f} {:>10.0f}\n", side,
               side - 184, forward.flop / 1e9, forward.bytes / 1e9, forward.flop / forward.bytes,
               forward.flop / (out * out) / 1e3, training.flop / 1e9, training.bytes / 1e9,
               training.flop / training.bytes);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--cost") {
    print_costs();
    return 0;
  }
  if (argc != 5) return 2;
  try {
    start_log("info", 0, 1);  // to standard error: standard output is for replies
    if (std::string(argv[1]) == "--volume") {
      Index3 shape;
      if (std::sscanf(argv[3], "%ld,%ld,%ld", &shape.z, &shape.y, &shape.x) != 3) return 2;
      benchmarks::write_texture_volume(argv[2], shape, std::stoi(argv[4]));
      return 0;
    }
    Bench bench(argv[1], std::stoll(argv[2]), std::stoi(argv[3]), argv[4]);
    std::cout << bench.text() << std::endl;
    for (std::string line, what; std::getline(std::cin, line);) {
      std::istringstream words(line);
      if (!(words >> what) || what == "end") break;
      try {
        std::cout << bench.answer(what, words) << std::endl;
      } catch (const std::exception& error) {
        std::string text = error.what();
        std::cout << "error: " << text.substr(0, text.find('\n')) << std::endl;
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "bench_gpu: " << error.what() << std::endl;
    return 1;
  }
}
