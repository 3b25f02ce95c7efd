#include "pipeline/infer/predict_volume.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/base/log.h"
#include "io/stores/result_completeness.h"
#include "pipeline/blocks/block_run.h"
#include "pipeline/blocks/result_state.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/infer/inference_record.h"
#include "pipeline/infer/job_description.h"
#include "pipeline/run/prediction_meaning.h"
#include "pipeline/run/volume_look_up.h"
#include "workers/infer/prediction_task.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// The meaning of the result's values, for an attribute.
std::string meaning_of(const InferConfig& infer) {
  if (infer.labels) return "the predicted class";
  const std::string scale = infer.type == VoxelType::uint8 ? ", 255 = 1" : "";
  if (infer.classes.size() == 1)
    return fmt::format("probability of class {}{}", infer.classes.front(), scale);
  return fmt::format("probabilities of classes {}, a channel each{}", fmt::join(infer.classes, ", "), scale);
}

/// An input that is a result itself may not be whole yet.
void warn_of_incomplete(const VolumeInfo& input, const char* key) {
  const ResultCompleteness found = completeness_of(input);
  if (!found.complete()) spdlog::warn("{}: {} is incomplete: {}", key, input.name.text(), found.problem);
}

/// The raw volume's offset, moved to the region's begin. Without a resolution, a voxel counts as 1. The
/// result of a part always has an offset, also at (0, 0, 0): the shapes differ, so nothing else places it.
std::vector<double> offset_of(const InferencePlan& plan) {
  if (plan.region == Box::of_shape(plan.raw.shape)) return plan.raw.offset_nm;
  const std::vector<double>& resolution = plan.raw.resolution_nm;
  std::vector<double> offset =
      plan.raw.offset_nm.size() == 3 ? plan.raw.offset_nm : std::vector<double>(3, 0.0);
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    offset[at] +=
        static_cast<double>(plan.region.begin[axis]) * (resolution.size() == 3 ? resolution[at] : 1.0);
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
  spec.attributes = {{"tessera_version", tessera_version()},
                     {"experiment", config.name},
                     {"checkpoint", network.name},
                     {"checkpoint_iteration", std::to_string(network.iteration)},
                     {"network_sha256", network.digest},
                     {"meaning", meaning_of(config.infer)},
                     {"classes", std::to_string(network.traits.class_count())},
                     {"config", config.resolved_yaml}};
  for (std::size_t i = 0; i < network.training_configs.size(); ++i)
    spec.attributes[training_attribute(i)] = network.training_configs[i];
  return spec;
}

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

/// Collective. Bytes of the smallest memory among the workers' GPUs; 0 when no worker has a GPU.
std::int64_t least_device_memory(const Device& device, const Communicator& world) {
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  const std::int64_t least = world.minimum(device.memory > 0 ? device.memory : kNone);
  return least == kNone ? 0 : least;
}

/// One volume of a start, step by step. Every rank runs the same steps.
class VolumePrediction {
 public:
  VolumePrediction(const ExperimentConfig& config, const InferenceStart& start, const Communicator& world)
      : config_(config),
        infer_(config.infer),
        start_(start),
        world_(world),
        folder_(config.run_folder),
        is_worker_(world.size() == 1 || !world.is_root()) {}

  void run() {
    plan();
    normalisation_ = choose_normalisation(infer_, plan_->raw, start_.network, world_);
    on_root(world_, [&] {
      warnings_ = doubts_about(plan_->raw, plan_->redundancy, start_.network, normalisation_);
      for (const std::string& one : warnings_)
        spdlog::warn("{}", one);
    });
    find();
    if (world_.any(state_.kind == ResultState::Kind::complete)) return;
    make_worker_predictor();
    open();
    const PredictionJob job = prediction_job();
    std::unique_ptr<PredictionTask> task;
    if (is_worker_) task = std::make_unique<PredictionTask>(job, *predictor_);
    run_blocks(task.get(), record_ ? &record_->run() : nullptr, start_.device.text(), world_);
    on_root(world_, [&] { record_->conclude(folder_); });
  }

 private:
  void plan() {
    const Device& device = start_.device;
    // The plan is for the workers' device. A coordinator without a GPU would choose another precision.
    Device planned_for = device;
    planned_for.cuda = world_.any(device.cuda);
    planned_for.memory = least_device_memory(device, world_);
    const VolumeInfo raw = look_up_volume(*infer_.raw, world_);
    on_every_rank(world_, [&] {
      plan_ = plan_inference(infer_, raw, start_.network.traits, planned_for);
      const std::int64_t available = available_memory(device);
      if (is_worker_ && !device.cuda && plan_->memory_per_worker() > available) {
        throw UsageError(fmt::format(
            "a worker needs about {}, but {} are available to each: lower infer.memory_budget_mib, "
            "infer.tile or infer.block, or start fewer workers per node",
            bytes_text(plan_->memory_per_worker()), bytes_text(available)));
      }
    });
    on_root(world_, [&] {
      inputs_ = {raw, std::nullopt};
      if (infer_.skip_mask) inputs_.mask = BlockMask(*infer_.skip_mask, raw).info();
      warn_of_incomplete(raw, "infer.raw");
      if (inputs_.mask) warn_of_incomplete(*inputs_.mask, "infer.skip.mask");
    });
  }

  /// Finds the existing result, if any.
  void find() {
    on_root(world_, [&] {
      lock_ = FileLock(infer_.output->file);
      require_own_file(infer_, inputs_);
      job_ = describe_job(config_, *plan_, inputs_, start_.network, normalisation_);
      if (!start_.network.note.empty()) job_notes_["network"] = start_.network.note;
      state_ = find_result(*infer_.output, "infer.output", job_, job_notes_, plan_->blocks, start_.restart);
      if (state_.kind != ResultState::Kind::complete) return;
      report_complete(folder_, infer_.output->text(), *state_.journal);
      std::cout
          << fmt::format(
                 "every one of the {} blocks is done already: nothing to predict (--restart starts over)\n"
                 "result: {}\n",
                 plan_->blocks.count(), infer_.output->text())
          << std::flush;
    });
  }

  std::unique_ptr<TilePredictor> make_predictor(std::unique_ptr<TileNetwork> network,
                                                Precision precision) const {
    return std::make_unique<TilePredictor>(
        std::move(network), start_.network.traits,
        predictor_options(infer_, normalisation_, precision, start_.device));
  }

  void make_worker_predictor() {
    on_every_rank(world_, [&] {
      if (!is_worker_) return;
      if (world_.rank() <= 1 && !start_.device.cuda && infer_.exact_tiles == ExactTiles::yes)
        spdlog::warn("infer.exact_tiles: has no effect on the CPU");
      const Precision precision = plan_->demand.precision;
      predictor_ =
          make_predictor(start_.network.make(precision, start_.device, infer_.exact_tiles), precision);
    });
  }

  /// Creates or opens the result. Every rank receives the file offsets of its chunks, and its mark.
  void open() {
    layout_ = {0, infer_.type, plan_->region.shape(), plan_->output_chunk, infer_.channels()};
    on_root(world_, [&] {
      folder_.prepare("inference.yaml", config_.resolved_yaml);
      add_log_file(folder_.log());
      OpenResult result =
          open_result(state_, output_spec(config_, *plan_, start_.network), job_, job_notes_, plan_->blocks);
      lock_.hold_target();
      layout_ = result.layout;
      spdlog::info("{} onto {}\n{}", start_.network.name, infer_.output->text(),
                   plan_text(*plan_, start_.network.traits));
      const std::int64_t all = plan_->blocks.count(), left = result.contents.blocks_left();
      if (state_.kind == ResultState::Kind::going_on) {
        spdlog::info("going on: {} of {} blocks are done, start {}", all - left, all,
                     result.contents.starts + 1);
      }
      const bool everything = !infer_.region_begin && !infer_.region_end && !infer_.skip_mask &&
                              !infer_.background;  // the expected number is unknown for a part of the blocks
      record_ = std::make_unique<InferenceRecord>(infer_, std::move(result),
                                                  everything ? plan_->raw.chunks_stored() : 0, warnings_,
                                                  start_.signal, start_.wall_time);
    });
    world_.broadcast(std::as_writable_bytes(std::span(&layout_.base, 1)));
    world_.broadcast(std::as_writable_bytes(std::span(&layout_.mark_at, 1)));
    world_.broadcast(layout_.mark);
  }

  PredictionJob prediction_job() const {
    const NetworkTraits& traits = start_.network.traits;
    PredictionJob job{plan_->raw.name, plan_->blocks, plan_->tiles(traits), *infer_.output, layout_};
    job.skip = {infer_.skip_mask, infer_.background};
    job.unpack_threads = std::clamp(start_.device.threads, 1, 8);
    // With blending, other tiles have other neighbours, so a seam would appear. Then the job ends, and the
    // error names the tile size to lower.
    if (infer_.blending == Blending::crop) {
      job.smaller_tiles = [this, &traits](const TileGrid& tiles) -> std::optional<TileGrid> {
        const auto smaller = next_smaller_tile(traits, tiles.tile_input(), plan_->blocks.block_shape(),
                                               plan_->raw.shape, plan_->demand);
        if (!smaller) return std::nullopt;
        return plan_->tiles(traits, *smaller);
      };
    }
    // One worker's comparison is enough, and costs the others no time.
    if (plan_->demand.precision != Precision::float32 && !infer_.labels && world_.rank() <= 1) {
      job.make_reference = [this] {
        return make_predictor(start_.network.make_reference(start_.device), Precision::float32);
      };
    }
    return job;
  }

  const ExperimentConfig& config_;
  const InferConfig& infer_;
  const InferenceStart& start_;
  const Communicator& world_;
  RunFolder folder_;
  bool is_worker_;
  InferenceInputs inputs_;  ///< the coordinator's
  std::optional<InferencePlan> plan_;
  ChosenNormalisation normalisation_;
  std::vector<std::string> warnings_;  // on the root only
  FileLock lock_;                      // of the result, on the root only
  JobDescription job_;                 // on the root only
  JobNotes job_notes_;                 // likewise
  ResultState state_;                  // on the root only
  OutputLayout layout_;
  std::unique_ptr<TilePredictor> predictor_;  // on workers only
  std::unique_ptr<InferenceRecord> record_;   // on the root only
};

}  // namespace

void predict_volume(const ExperimentConfig& config, const InferenceStart& start, const Communicator& world) {
  VolumePrediction(config, start, world).run();
}

}  // namespace tessera
