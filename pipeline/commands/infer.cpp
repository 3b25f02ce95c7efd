#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "io/clock.h"
#include "io/durable_file.h"
#include "io/error.h"
#include "io/log.h"
#include "pipeline/checkpoint_choice.h"
#include "pipeline/command_line.h"
#include "pipeline/commands/commands.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/coordinator.h"
#include "pipeline/inference_plan.h"
#include "pipeline/progress.h"
#include "pipeline/stop_signal.h"
#include "workers/infer/inference_worker.h"
#include "workers/mpi/agree.h"
#include "workers/network/network_checkpoint.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage = "tessera infer CONFIG.yaml [--set key=value ...] [--overwrite]";

OutputVolumeSpec output_spec(const ExperimentConfig& config, const InferencePlan& plan, const LoadedCheckpoint& model) {
  OutputVolumeSpec spec;
  spec.name = *config.infer.output;
  spec.type = config.infer.type;
  spec.shape = plan.raw.shape;
  spec.chunk = plan.output_chunk;
  spec.resolution_nm = plan.raw.resolution_nm;
  spec.offset_nm = plan.raw.offset_nm;
  spec.raw = plan.raw.name;
  const Checkpoint& checkpoint = model.checkpoint;
  const auto iteration = checkpoint.counters.find("iteration");
  spec.attributes = {
      {"tessera_version", tessera_version()},
      {"experiment", config.name},
      {"checkpoint", model.name},
      {"checkpoint_iteration", std::to_string(iteration == checkpoint.counters.end() ? 0 : iteration->second)},
      {"meaning", fmt::format("probability of class {}{}", config.infer.output_class,
                              config.infer.type == VoxelType::uint8 ? ", 255 = 1" : "")},
      {"config", config.resolved_yaml}};
  return spec;
}

/// What all workers did, for people and as JSON.
struct Summary {
  std::vector<WorkerStatistics> workers;
  double elapsed_s = 0;
  std::int64_t chunks_stored = 0;

  WorkerStatistics total() const {
    WorkerStatistics sum;
    for (const WorkerStatistics& w : workers) {
      sum.blocks += w.blocks;
      sum.voxels += w.voxels;
      sum.input_pixels += w.input_pixels;
      sum.chunks_read += w.chunks_read;
      sum.read_s += w.read_s;
      sum.predict_s += w.predict_s;
      sum.write_s += w.write_s;
      sum.wait_s += w.wait_s;
      sum.elapsed_s += w.elapsed_s;
    }
    return sum;
  }

  std::string text() const {
    const WorkerStatistics t = total();
    const auto share = [&](double part) { return 100 * part / std::max(1e-9, t.elapsed_s); };
    std::string words = fmt::format("predicted {} blocks, {:.2f} Mvoxels in {}: {:.2f} Mvoxels per second\n", t.blocks,
                                    static_cast<double>(t.voxels) / 1e6, duration_text(elapsed_s),
                                    static_cast<double>(t.voxels) / 1e6 / std::max(1e-9, elapsed_s));
    words += fmt::format("workers: {}; predicting {:.0f} %, waiting {:.0f} %; beside it reading {:.0f} %, writing {:.0f} %\n",
                         workers.size(), share(t.predict_s), share(t.wait_s), share(t.read_s), share(t.write_s));
    if (chunks_stored > 0) {
      words += fmt::format("each stored chunk of the raw volume was decompressed {:.2f} times on average\n",
                           static_cast<double>(t.chunks_read) / static_cast<double>(chunks_stored));
    }
    return words;
  }

  nlohmann::json json() const {
    const auto entry = [](const WorkerStatistics& w) {
      return nlohmann::json{{"blocks", w.blocks},       {"voxels", w.voxels},       {"input_pixels", w.input_pixels},
                            {"chunks_read", w.chunks_read}, {"read_s", w.read_s},   {"predict_s", w.predict_s},
                            {"write_s", w.write_s},     {"wait_s", w.wait_s},       {"elapsed_s", w.elapsed_s}};
    };
    nlohmann::json all;
    for (const WorkerStatistics& w : workers) all.push_back(entry(w));
    const WorkerStatistics t = total();
    return {{"total", entry(t)},
            {"elapsed_s", elapsed_s},
            {"voxels_per_s", static_cast<double>(t.voxels) / std::max(1e-9, elapsed_s)},
            {"raw_chunks_stored", chunks_stored},
            {"workers", all}};
  }
};

/// Throws UsageError when the result's file exists, unless it may be replaced: whole, so only if it is an
/// earlier result.
void require_replaceable(const DatasetName& output, bool overwrite) {
  if (!std::filesystem::exists(output.file)) return;
  if (!overwrite) {
    throw UsageError(fmt::format("{} exists already: pass --overwrite to replace it, or set another infer.output",
                                 output.file.string()));
  }
  bool earlier_result = false;
  try {
    earlier_result = VolumeReader(output).info().attributes.count("tessera_version") != 0;
  } catch (const Error&) {
    // not HDF5, or without that dataset: somebody else's
  }
  if (!earlier_result) {
    throw UsageError(fmt::format("{} holds no earlier result of that name; the whole file would be replaced: remove it "
                                 "yourself, or set another infer.output", output.file.string()));
  }
}

/// Collective: the end of every rank's work. Errors: AgreedError on all when a signal stopped the run.
int leave(bool stopped, const Communicator& world) {
  if (world.any(stopped)) {
    throw AgreedError("stopped by a signal: the result is incomplete; predict it again with --overwrite");
  }
  return kExitDone;
}

}  // namespace

int run_infer(const Arguments& arguments, const Communicator& world) {
  po::options_description options("options");
  add_experiment_options(options);
  options.add_options()("overwrite", "replace a result that exists already");
  const auto values = parse_arguments(arguments, kUsage, options, {"config"}, world.is_root());
  if (!values) return kExitDone;
  const ExperimentConfig config = read_experiment(*values, {.inference = true}, world);
  const bool overwrite = values->count("overwrite") != 0;
  const StopSignal signal;
  const RunFolder folder(config.run_folder);
  const bool alone = world.size() == 1;
  const bool is_worker = alone || !world.is_root();
  const Device device = choose_device(world, is_worker, config.device, config.infer.threads);

  // The plan is the workers': the coordinator beside GPUs has none, and would choose another precision.
  Device planned_for = device;
  planned_for.cuda = world.any(device.cuda);

  LoadedCheckpoint model = load_named_checkpoint(config.infer.checkpoint, folder, world);
  std::optional<InferencePlan> plan;
  UNetOptions network_options;
  std::int64_t chunks_stored = 0;
  on_every_rank(world, [&] {
    network_options = load_network_options(model.checkpoint, model.name);
    const VolumeReader raw(*config.infer.raw);
    chunks_stored = raw.chunks_stored();
    plan = plan_inference(config.infer, raw.info(), network_options, planned_for);
    const std::int64_t available = available_memory(device);
    if (is_worker && !device.cuda && plan->memory_per_worker() > available) {
      throw UsageError(fmt::format("a worker needs about {}, but {} are available to each: lower infer.memory_budget_mib, "
                                   "infer.tile or infer.block, or start fewer workers per node",
                                   bytes_text(plan->memory_per_worker()), bytes_text(available)));
    }
  });
  std::unique_ptr<TilePredictor> predictor;
  on_every_rank(world, [&] {
    if (!is_worker) return;
    PredictorOptions what;
    const auto found = model.checkpoint.numbers.find("normalisation");
    if (found == model.checkpoint.numbers.end() || found->second.size() != 2) {
      throw Error(model.name + " does not say how raw values are normalised");
    }
    what.normalisation = {found->second[0], found->second[1]};
    what.precision = plan->precision;
    what.device = device;
    what.output_class = config.infer.output_class;
    what.output_type = config.infer.type;
    predictor = std::make_unique<TilePredictor>(load_network(model.checkpoint, model.name), what);
  });

  model.checkpoint.arrays.clear();  // as large as the network and its optimizer

  OutputLayout layout{0, config.infer.type, plan->raw.shape, plan->output_chunk};
  on_root(world, [&] {
    const std::filesystem::path& file = config.infer.output->file;
    if (std::filesystem::exists(file) && std::filesystem::equivalent(file, config.infer.raw->file)) {
      throw UsageError(fmt::format("infer.output: {} is the raw volume's own file; results have a file of their own",
                                   file.string()));
    }
    require_replaceable(*config.infer.output, overwrite);
    if (config.model_given) {
      const std::string difference = difference_between(config.model, network_options);
      if (!difference.empty()) spdlog::warn("model: differs from the checkpoint's network, which is used: {}", difference);
    }
    folder.prepare("inference.yaml", config.resolved_yaml);
    add_log_file(folder.log());
    layout = create_output_volume(output_spec(config, *plan, model));
    spdlog::info("{} onto {}\n{}", model.name, config.infer.output->text(), plan_text(*plan, network_options));
  });
  world.broadcast(std::as_writable_bytes(std::span(&layout.base, 1)));

  const InferenceJob job{plan->raw.name, plan->blocks, plan->tiles(network_options), config.infer.output->file, layout};
  const double begin = seconds_now();
  if (!world.is_root()) {
    MpiBlockExchange exchange(world);
    run_inference_worker(job, *predictor, exchange);
    return leave(false, world);
  }

  Progress progress("infer", static_cast<double>(volume_of(plan->raw.shape)), "Mvoxels", 1e6, true);
  CoordinatorHooks hooks;
  hooks.progress = [&](std::int64_t voxels) { progress.add(static_cast<double>(voxels)); };
  hooks.should_stop = [&] { return signal.asked(); };
  Coordinator coordinator(plan->blocks.hand_out_order(), hooks);
  if (alone) {
    LocalBlockExchange exchange(coordinator);
    run_inference_worker(job, *predictor, exchange);
  } else {
    serve_workers(world, coordinator);
  }
  progress.finish();
  if (coordinator.stopped()) {
    spdlog::warn("{} of {} blocks are done", coordinator.blocks_done(), plan->blocks.count());
    return leave(true, world);
  }
  const Summary summary{coordinator.statistics(), seconds_now() - begin, chunks_stored};
  std::cout << summary.text() << "result: " << config.infer.output->text() << "\n" << std::flush;
  write_text_file(folder.path() / "inference.json", summary.json().dump(2) + "\n");
  return leave(false, world);
}

}  // namespace tessera
