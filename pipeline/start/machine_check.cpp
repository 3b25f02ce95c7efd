#include "pipeline/start/machine_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/stores/open_volume.h"
#include "pipeline/cluster/experiment_stages.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/infer/inference_volumes.h"
#include "pipeline/run/bytes_pair.h"
#include "pipeline/run/progress.h"
#include "pipeline/start/machine.h"
#include "pipeline/start/speed_measurement.h"
#include "pipeline/train/training_plan.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// The part of the free memory that a plan may use.
constexpr double kUsable = 0.9;

std::int64_t checkpoint_bytes(const ExperimentConfig& config) {
  const std::int64_t vectors = config.train.trainer.average_decay > 0 ? 4 : 3;
  return (config.train.keep_checkpoints + 2) * vectors * 4 * parameter_count(config.network());
}

/// Free bytes of the file system that a file will be on; none where that is not known.
std::optional<std::int64_t> free_bytes(fs::path file) {
  std::error_code error;
  file = fs::absolute(file, error);
  while (!fs::exists(file, error) && file.has_relative_path())
    file = file.parent_path();
  const fs::space_info space = fs::space(file, error);
  return error ? std::nullopt : std::optional(static_cast<std::int64_t>(space.available));
}

/// All predictions of an experiment.
struct PlannedPredictions {
  std::optional<InferencePlan> first;
  std::int64_t volumes = 0, voxels = 0, memory = 0;
  std::int64_t new_bytes = 0;  ///< of results that do not exist yet
  double input_pixels = 0;     ///< that the network computes
};

class MachineCheck {
 public:
  MachineCheck(const ExperimentConfig& config, double measure_s, std::ostream& out)
      : config_(config), measure_s_(measure_s), out_(out), machine_(this_machine(config.device)) {
    if (measure_s_ <= 0) {
      device_.cuda = machine_.gpus > 0;
      return;
    }
    device_ = choose_device(Communicator::alone(), true, config.device, 0);
    choose_algorithms(device_, false);
  }

  void run() {
    out_ << fmt::format("this machine: {}\n", machine_.text());
    if (has_training_data(config_)) plan_train();
    if (config_.infer.raw && !config_.model.torchscript) plan_infer();
    if (measure_s_ > 0) measure();
    check_memory();
    check_disk();
  }

 private:
  void line(const std::string& what, const std::string& value) {
    out_ << fmt::format("  {:<22} {}\n", what, value) << std::flush;
  }

  void plan_train() {
    volumes_ = find_volumes(config_.data, Communicator::alone());
    const bool any = std::ranges::any_of(
        volumes_, [](const AnnotatedVolume& one) { return one.train_sections().has_value(); });
    if (!any) return;
    training_ = plan_training(config_, volumes_,
                              {kAnyMemory, training_precision(config_, device_.cuda), device_.cuda});
  }

  void plan_infer() {
    const NetworkTraits network(config_.network());
    for (const InferenceVolume& volume : inference_volumes(config_)) {
      const ExperimentConfig own = experiment_of(config_, volume, {});
      const InferencePlan plan =
          plan_inference(own.infer, read_volume_info(*own.infer.raw), network, device_);
      predictions_.volumes += 1;
      predictions_.voxels += plan.region.voxels();
      predictions_.memory = std::max(predictions_.memory, plan.memory_per_worker());
      predictions_.input_pixels += plan.redundancy * static_cast<double>(plan.region.voxels());
      if (own.infer.output && !file_exists(own.infer.output->file))
        predictions_.new_bytes += plan.region.voxels() * own.infer.channels() * size_of(own.infer.type);
      if (!predictions_.first) predictions_.first = plan;
    }
  }

  int parallel() const { return std::max(1, machine_.gpus); }

  void measure() {
    PredictionSpeed plain;
    if (predictions_.first) {
      const InferencePlan& plan = *predictions_.first;
      plain =
          measure_prediction(config_, plan.raw, plan.tile_input, Averaging::none, device_, measure_s_ / 3);
    }
    if (training_) tell_training(plain);
    if (predictions_.first) tell_prediction(plain);
  }

  void tell_training(const PredictionSpeed& plain) {
    const TrainingSpeed speed =
        measure_training(config_, volumes_, training_->tile_side, device_, measure_s_ / 3);
    double validation_pixels = 0;
    for (const AnnotatedVolume& one : volumes_) {
      if (!one.validation_sections()) continue;
      const PixelBounds bounds = one.bounds();
      validation_pixels += static_cast<double>(one.validation_sections()->count()) *
                           static_cast<double>((bounds.y_end - bounds.y_begin) * bounds.width());
    }
    constexpr double kMargins = 1.3;  // input pixels per output pixel of a validation's tiles
    const double all_s =
        training_time_s(config_, speed.sample_s, kMargins * validation_pixels * plain.pixel_s, parallel());
    const double iteration_s = all_s / static_cast<double>(config_.train.iterations);
    std::string text =
        fmt::format("{:.3g} s an iteration ({} measured): {} iterations take about {}", iteration_s,
                    speed.iterations, config_.train.iterations, duration_text(all_s));
    const double limit_s = 60 * config_.train.minutes;
    if (limit_s > 0 && limit_s < all_s) {
      text += fmt::format("; train.minutes ends it after {}, at about iteration {:.0f}",
                          duration_text(limit_s), limit_s / iteration_s);
    }
    line("time of train", text);
  }

  void tell_prediction(const PredictionSpeed& plain) {
    const InferencePlan& plan = *predictions_.first;
    const Averaging averaging = config_.infer.averaging;
    PredictionSpeed speed = plain;
    if (averaging != Averaging::none)
      speed = measure_prediction(config_, plan.raw, plan.tile_input, averaging, device_, measure_s_ / 3);
    const double seconds = predictions_.input_pixels * speed.pixel_s / parallel();
    line("time of infer",
         fmt::format("{:.3g} Mvoxel/s ({} tiles measured): {:.3g} Mvoxels{} take about {}",
                     static_cast<double>(predictions_.voxels) / seconds / 1e6, speed.tiles,
                     static_cast<double>(predictions_.voxels) / 1e6,
                     predictions_.volumes > 1 ? fmt::format(" of {} volumes", predictions_.volumes) : "",
                     duration_text(seconds)));
    if (averaging == Averaging::none) {
      line("averaging", "none; infer.averaging: symmetries8 or rotations7 takes about 8 times as long");
    } else {
      line("averaging", fmt::format("{} takes {:.1f} times as long as none", name_of(averaging),
                                    speed.pixel_s / plain.pixel_s));
    }
  }

  /// Errors: UsageError.
  void require_memory(const std::string& what, std::int64_t needed, const std::string& remedy) const {
    const std::int64_t available = device_.cuda && device_.memory > 0 ? device_.memory : machine_.memory;
    if (static_cast<double>(needed) <= kUsable * static_cast<double>(available)) return;
    const auto [need, usable] =
        bytes_pair(needed, static_cast<std::int64_t>(kUsable * static_cast<double>(available)));
    throw UsageError(fmt::format(
        "{} needs about {} per worker, but this machine has {} for it ({:.0f} % of its free memory): "
        "lower {}",
        what, need, usable, 100 * kUsable, remedy));
  }

  void check_memory() {
    std::vector<std::string> texts;
    std::int64_t largest = 0;
    const auto note = [&](const char* what, std::int64_t bytes) {
      texts.push_back(fmt::format("{} {}", what, bytes_text(bytes)));
      largest = std::max(largest, bytes);
    };
    if (training_) note("train", training_->memory_per_worker());
    if (predictions_.memory > 0) note("infer", predictions_.memory);
    if (texts.empty()) return;
    const std::int64_t fit =
        static_cast<std::int64_t>(kUsable * static_cast<double>(machine_.memory)) / largest;
    std::string text = texts.front() + (texts.size() > 1 ? ", " + texts.back() : "") + " per worker";
    if (!device_.cuda) text += fmt::format("; {} fit{} here", fit, fit == 1 ? "s" : "");
    line("memory", text);
    if (training_) {
      require_memory(
          "training", training_->memory_per_worker(),
          fmt::format("train.tile (now {}) or model.base_filters (now {}), or train on fewer sections",
                      training_->tile_side, config_.model.base_filters));
    }
    if (predictions_.memory > 0)
      require_memory("prediction", predictions_.memory, "infer.tile, infer.block or infer.memory_budget_mib");
  }

  void check_disk() {
    const std::int64_t checkpoints = training_ ? checkpoint_bytes(config_) : 0;
    const fs::path result = config_.infer.output ? config_.infer.output->file : config_.run_folder / "result";
    const std::optional<std::int64_t> there = free_bytes(result),
                                      here = free_bytes(config_.run_folder / "log");
    if (!there || !here) return;
    line("disk", fmt::format("new results {}, checkpoints {}; {} free", bytes_text(predictions_.new_bytes),
                             bytes_text(checkpoints), bytes_text(std::min(*there, *here))));
    if (predictions_.new_bytes > *there || checkpoints > *here) {
      throw UsageError(
          fmt::format("there is too little disk space: results need {} ({} free), checkpoints {} ({} free): "
                      "free some, or "
                      "move infer.output or run_folder to another disk",
                      bytes_text(predictions_.new_bytes), bytes_text(*there), bytes_text(checkpoints),
                      bytes_text(*here)));
    }
  }

  const ExperimentConfig& config_;
  double measure_s_;
  std::ostream& out_;
  Machine machine_;
  Device device_;
  std::vector<AnnotatedVolume> volumes_;
  std::optional<TrainingPlan> training_;
  PlannedPredictions predictions_;
};

}  // namespace

double training_time_s(const ExperimentConfig& config, double sample_s, double validation_s, int parallel) {
  const auto batch = static_cast<double>(config.train.trainer.global_batch);
  const auto iterations = static_cast<double>(config.train.iterations);
  const double at_once = std::min(batch, static_cast<double>(parallel));
  return iterations * (batch * sample_s / at_once +
                       validation_s / parallel / static_cast<double>(config.train.validate_every));
}

void check_machine(const ExperimentConfig& config, double measure_s, std::ostream& out) {
  MachineCheck(config, measure_s, out).run();
}

}  // namespace tessera
