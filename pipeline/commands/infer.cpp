#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "io/hdf5/checkpoint_file.h"
#include "pipeline/blocks/coordinator.h"
#include "pipeline/blocks/result_state.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/config/experiment_arguments.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/infer/inference_report.h"
#include "pipeline/infer/job_description.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/progress.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/volume_look_up.h"
#include "pipeline/run/wall_time.h"
#include "workers/infer/inference_worker.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "tessera infer CONFIG.yaml [--set key=value ...] [--restart] [--volume NAME | --volume-index N]";

/// What the result's values are, in words.
std::string meaning_of(const InferConfig& infer) {
  if (infer.labels) return "the most probable class";
  const std::string scale = infer.type == VoxelType::uint8 ? ", 255 = 1" : "";
  if (infer.classes.size() == 1)
    return fmt::format("probability of class {}{}", infer.classes.front(), scale);
  return fmt::format("probabilities of classes {}, a channel each{}", fmt::join(infer.classes, ", "), scale);
}

/// The raw volume's offset, moved to where the region begins.
std::vector<double> offset_of(const InferencePlan& plan) {
  const std::vector<double>& resolution = plan.raw.resolution_nm;
  if (plan.region.begin == Index3{} || resolution.size() != 3) return plan.raw.offset_nm;
  std::vector<double> offset =
      plan.raw.offset_nm.size() == 3 ? plan.raw.offset_nm : std::vector<double>(3, 0.0);
  for (int axis = 0; axis < 3; ++axis) {
    offset[static_cast<std::size_t>(axis)] +=
        static_cast<double>(plan.region.begin[axis]) * resolution[static_cast<std::size_t>(axis)];
  }
  return offset;
}

OutputVolumeSpec output_spec(const ExperimentConfig& config, const InferencePlan& plan,
                             const InferenceNetwork& network) {
  OutputVolumeSpec spec;
  spec.name = *config.infer.output;
  spec.type = config.infer.type;
  spec.shape = plan.region.shape();
  spec.channels = config.infer.channels();
  spec.chunk = plan.output_chunk;
  spec.resolution_nm = plan.raw.resolution_nm;
  spec.offset_nm = offset_of(plan);
  spec.raw = plan.raw.name;
  spec.attributes = {
      {"tessera_version", tessera_version()}, {"experiment", config.name},
      {"checkpoint", network.name},           {"checkpoint_iteration", std::to_string(network.iteration)},
      {"network_sha256", network.digest},     {"meaning", meaning_of(config.infer)},
      {"config", config.resolved_yaml}};
  return spec;
}

void require_own_file(const InferConfig& config) {
  const std::filesystem::path& file = config.output->file;
  if (std::filesystem::exists(file) && std::filesystem::equivalent(file, config.raw->file)) {
    throw UsageError(fmt::format(
        "infer.output: {} is the raw volume's own file; results have a file of their own", file.string()));
  }
}

/// The end of the last start may have been a kill after its last block: then no report tells of the end.
void report_complete(const RunFolder& folder, const std::string& result, const JournalContents& journal) {
  const std::filesystem::path file = folder.path() / "inference.json";
  std::error_code missing;
  if (std::filesystem::file_size(file, missing) > 0 && !missing) {
    const std::vector<std::byte> bytes = read_file_bytes(file);
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const nlohmann::json there =
        nlohmann::json::parse(text, text + bytes.size(), nullptr, /*allow_exceptions=*/false);
    if (there.is_object() && there.value("result", "") == result && there.value("end", "") == "done") return;
  }
  InferenceReport report;
  report.result = result;
  report.blocks = report.blocks_before = journal.head.blocks.count();
  report.starts = journal.starts;
  write_text_file(file, report.json().dump(2) + "\n");
}

/// What the coordinator's process does beside handing out blocks.
class InferenceRecord {
 public:
  InferenceRecord(const ExperimentConfig& config, const InferencePlan& plan, OpenResult result,
                  std::int64_t chunks_stored)
      : config_(config),
        blocks_(plan.blocks),
        result_(std::move(result)),
        progress_("infer", voxels_of_all(), "Mvoxels", 1e6, true, voxels_before()) {
    report_.result = config.infer.output->text();
    report_.raw_chunks_stored = chunks_stored;
    report_.blocks = blocks_.count();
    report_.blocks_before = report_.blocks - result_.contents.blocks_left();
    report_.starts = result_.contents.starts + 1;
  }

  Coordinator make_coordinator(const StopSignal& signal, const WallTime& wall_time) {
    CoordinatorHooks hooks;
    hooks.block_done = [this](const BlockReport& block) {
      result_.journal->append({block.id, block.outcome, block.crc});
      if (block.outcome == BlockOutcome::skipped) progress_.add(static_cast<double>(block.voxels));
    };
    hooks.progress = [this](std::int64_t voxels) { progress_.add(static_cast<double>(voxels)); };
    hooks.should_stop = [&signal] { return signal.asked(); };
    hooks.time_allows = [&wall_time](double seconds) { return wall_time.allows(seconds); };
    hooks.block_text = [this](std::int64_t id) {
      return fmt::format("block {} ({})", id, to_string(blocks_.block(id)));
    };
    CoordinatorOptions options;
    options.max_retries = config_.infer.max_retries;
    options.watchdog_s = 60 * config_.infer.watchdog_minutes;
    return Coordinator(result_.contents.unknown_blocks(), hooks, options);
  }

  /// Commits the journal, writes the report, and ends in the words that every rank ends with.
  /// Errors: StoppedEarly, Error.
  void conclude(const Coordinator& coordinator, const RunFolder& folder) {
    report_.elapsed_s = progress_.elapsed_s();
    progress_.finish();
    result_.journal->commit();
    report_.workers = coordinator.accounts();
    report_.failed = coordinator.quarantined();
    for (const QuarantinedBlock& block : report_.failed) {
      report_.failed_places.push_back(
          fmt::format("block {} ({})", block.id, to_string(blocks_.block(block.id))));
    }
    report_.blocks_done = coordinator.blocks_done();
    report_.blocks_skipped = coordinator.blocks_skipped();
    const std::int64_t ended = report_.blocks_before + report_.blocks_done + report_.blocks_skipped;
    const std::string so_far = fmt::format("{} of {} blocks are done", ended, report_.blocks);
    const bool failed = !coordinator.failure().empty() || !report_.failed.empty();
    report_.end = failed ? "failed" : coordinator.stopped() ? "stopped" : "done";
    write_text_file(folder.path() / "inference.json", report_.json().dump(2) + "\n");
    std::cout << report_.text() << std::flush;
    if (!coordinator.failure().empty()) {
      throw Error(
          fmt::format("{}\n{}; start again, when that is mended, to go on", coordinator.failure(), so_far));
    }
    if (coordinator.stopped()) {
      const char* why =
          coordinator.stopped_for_time() ? "stopped before the job's time limit" : "stopped by a signal";
      throw StoppedEarly(fmt::format("{}: {}; start again to go on", why, so_far));
    }
    if (failed) throw Error(report_.failed_text());
    std::cout << "result: " << report_.result << "\n" << std::flush;
  }

 private:
  double voxels_of_all() const { return static_cast<double>(blocks_.region().voxels()); }
  double voxels_before() const {
    std::int64_t voxels = 0;
    for (const JournalRecord& record : result_.contents.records)
      voxels += blocks_.block(record.block).voxels();
    return static_cast<double>(voxels);
  }

  const ExperimentConfig& config_;
  BlockPlan blocks_;
  OpenResult result_;
  Progress progress_;
  InferenceReport report_;
};

PredictorOptions predictor_options(const InferConfig& infer, const ChosenNormalisation& normalisation,
                                   Precision precision, const Device& device) {
  PredictorOptions what;
  what.normalisation = normalisation.whole;
  what.by_section = normalisation.by_section;
  what.precision = precision;
  what.device = device;
  what.classes = infer.classes;
  what.labels = infer.labels;
  what.output_type = infer.type;
  what.averaging = infer.averaging;
  what.blending = infer.blending;
  return what;
}

/// Collective: bytes of the smallest of the workers' GPUs; 0 where there is none.
std::int64_t least_device_memory(const Device& device, const Communicator& world) {
  std::int64_t least = 0;
  for (const std::string& text : world.all_gather(std::to_string(device.memory))) {
    const std::int64_t bytes = std::stoll(text);
    if (bytes > 0 && (least == 0 || bytes < least)) least = bytes;
  }
  return least;
}

/// Collective. Predicts one volume, whose experiment this is, or goes on with it.
int predict_volume(const ExperimentConfig& config, const InferenceNetwork& network, const Device& device,
                   bool restart, const StopSignal& signal, const WallTime& wall_time,
                   const Communicator& world) {
  const RunFolder folder(config.run_folder);
  const bool alone = world.size() == 1;
  const bool is_worker = alone || !world.is_root();

  // The plan is the workers': the coordinator beside GPUs has none, and would choose another precision.
  Device planned_for = device;
  planned_for.cuda = world.any(device.cuda);
  planned_for.memory = least_device_memory(device, world);

  const VolumeInfo raw = look_up_volume(*config.infer.raw, world);
  std::optional<InferencePlan> plan;
  on_every_rank(world, [&] {
    plan = plan_inference(config.infer, raw, network.traits, planned_for);
    const std::int64_t available = available_memory(device);
    if (is_worker && !device.cuda && plan->memory_per_worker() > available) {
      throw UsageError(
          fmt::format("a worker needs about {}, but {} are available to each: lower infer.memory_budget_mib, "
                      "infer.tile or infer.block, or start fewer workers per node",
                      bytes_text(plan->memory_per_worker()), bytes_text(available)));
    }
  });

  on_root(world, [&] {
    if (config.infer.skip_mask) BlockMask(*config.infer.skip_mask, raw.shape);  // for its errors
  });

  const ChosenNormalisation normalisation = choose_normalisation(config.infer, raw, network, world);
  JobDescription job;
  ResultState state;
  on_root(world, [&] {
    require_own_file(config.infer);
    job = describe_job(config, *plan, network, normalisation);
    state = find_result(*config.infer.output, job, restart);
    if (state.kind == ResultState::Kind::complete) {
      report_complete(folder, config.infer.output->text(), *state.journal);
      std::cout
          << fmt::format(
                 "every one of the {} blocks is done already: nothing to predict (--restart starts over)\n"
                 "result: {}\n",
                 plan->blocks.count(), config.infer.output->text())
          << std::flush;
    }
  });
  if (world.any(state.kind == ResultState::Kind::complete)) return kExitDone;

  std::unique_ptr<TilePredictor> predictor;
  const auto make_predictor = [&](std::unique_ptr<TileNetwork> by, Precision precision) {
    return std::make_unique<TilePredictor>(std::move(by), network.traits,
                                           predictor_options(config.infer, normalisation, precision, device));
  };
  on_every_rank(world, [&] {
    const Precision precision = plan->demand.precision;
    if (is_worker && world.rank() <= 1 && !device.cuda && config.infer.exact_tiles == ExactTiles::yes)
      spdlog::warn("infer.exact_tiles: is of no effect on the CPU");
    if (is_worker)
      predictor = make_predictor(network.make(precision, device, config.infer.exact_tiles), precision);
  });

  OutputLayout layout{0, config.infer.type, plan->region.shape(), plan->output_chunk,
                      config.infer.channels()};
  std::unique_ptr<InferenceRecord> record;
  on_root(world, [&] {
    folder.prepare("inference.yaml", config.resolved_yaml);
    add_log_file(folder.log());
    OpenResult result = open_result(state, output_spec(config, *plan, network), job, plan->blocks);
    layout = result.layout;
    spdlog::info("{} onto {}\n{}", network.name, config.infer.output->text(),
                 plan_text(*plan, network.traits));
    const std::int64_t all = plan->blocks.count(), left = result.contents.blocks_left();
    if (state.kind == ResultState::Kind::going_on) {
      spdlog::info("going on: {} of {} blocks are done, start {}", all - left, all,
                   result.contents.starts + 1);
    }
    const bool everything = !config.infer.region_begin && !config.infer.region_end &&
                            !config.infer.skip_mask &&
                            !config.infer.background;  // of a part nobody knows the fair number
    record = std::make_unique<InferenceRecord>(config, *plan, std::move(result),
                                               everything ? raw.chunks_stored() : 0);
  });
  world.broadcast(std::as_writable_bytes(std::span(&layout.base, 1)));

  InferenceJob work{plan->raw.name, plan->blocks, plan->tiles(network.traits), config.infer.output->file,
                    layout};
  work.skip = {config.infer.skip_mask, config.infer.background};
  work.unpack_threads = std::clamp(device.threads, 1, 8);
  // With blending, other tiles would have other neighbours: a seam. Then the job ends and names the tile to
  // lower.
  if (config.infer.blending == Blending::crop)
    work.smaller_tiles = [&](const TileGrid& tiles) -> std::optional<TileGrid> {
      const auto smaller = next_smaller_tile(network.traits, tiles.tile_input(), plan->blocks.block_shape(),
                                             plan->raw.shape, plan->demand);
      if (!smaller) return std::nullopt;
      return plan->tiles(network.traits, *smaller);
    };
  // One worker's word is enough, and costs the others no time.
  if (plan->demand.precision != Precision::float32 && !config.infer.labels && world.rank() <= 1) {
    work.make_reference = [&] { return make_predictor(network.make_reference(device), Precision::float32); };
  }
  if (!world.is_root()) {
    MpiBlockExchange exchange(world, device.text());
    run_inference_worker(work, *predictor, exchange);
    on_root(world, [] {});  // how it ended
    return kExitDone;
  }
  Coordinator coordinator = record->make_coordinator(signal, wall_time);
  if (alone) {
    LocalBlockExchange exchange(coordinator, device.text());
    run_inference_worker(work, *predictor, exchange);
  } else {
    serve_workers(world, coordinator);
  }
  on_root(world, [&] { record->conclude(coordinator, folder); });
  return kExitDone;
}

/// Collective. Heads the messages of a volume, unless a signal came between two of them. Errors:
/// StoppedEarly.
void begin_volume(const std::string& heading, const ExperimentConfig& config, const StopSignal& signal,
                  const Communicator& world) {
  on_root(world, [&] {
    close_log_files();  // of the volume before
    if (signal.asked())
      throw StoppedEarly(fmt::format("stopped by a signal before {}; start again to go on", heading));
    spdlog::info("{}, {}", heading, config.infer.raw->text());
  });
}

}  // namespace

int run_infer(const Arguments& arguments, const Communicator& world) {
  po::options_description options("options");
  add_experiment_options(options);
  add_volume_choice(options);
  options.add_options()("restart", "start over: replace a result that exists already")("overwrite",
                                                                                       "the same");
  const auto values = parse_arguments(arguments, kUsage, options, {"config"}, world.is_root());
  if (!values) return kExitDone;
  const ExperimentConfig config = read_experiment(*values, {.inference = true}, world);
  const std::vector<InferenceVolume> volumes = chosen_volumes(*values, config, world);
  const bool restart = values->count("restart") + values->count("overwrite") != 0;
  const StopSignal signal;
  const WallTime wall_time;
  const bool is_worker = world.size() == 1 || !world.is_root();
  const Device device = choose_device(world, is_worker, config.device, config.infer.threads);
  choose_algorithms(device, config.infer.reproducible);
  const InferenceNetwork network =
      load_inference_network(config, RunFolder(config.run_folder), world, is_worker);
  for_each_volume(volumes, world, [&](const InferenceVolume& volume) {
    const ExperimentConfig own = experiment_of(config, volume, {.inference = true});
    if (volumes.size() > 1) begin_volume(heading(volumes, volume), own, signal, world);
    predict_volume(own, network, device, restart, signal, wall_time, world);
  });
  return kExitDone;
}

}  // namespace tessera
