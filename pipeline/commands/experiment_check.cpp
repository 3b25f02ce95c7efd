#include "pipeline/commands/experiment_check.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <optional>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "io/geometry/axis_order.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/run/segmentation_files.h"
#include "pipeline/run/volume_look_up.h"
#include "pipeline/segment/segmentation_plan.h"
#include "pipeline/train/training_plan.h"
#include "pipeline/train/training_volumes.h"
#include "workers/blocks/skip_rule.h"
#include "workers/samples/class_shares.h"

namespace tessera {
namespace {

/// The plan of one volume. Opens every input of its inference.
InferencePlan plan_volume(const ExperimentConfig& config, const NetworkTraits& network) {
  Device device;
  device.cuda = config.device == "cuda";  // auto is planned for the CPU
  const VolumeInfo raw = read_volume_info(*config.infer.raw);
  warn_when_written(config.infer.raw->file);
  if (config.infer.skip_mask) BlockMask(*config.infer.skip_mask, raw);  // for its errors
  return plan_inference(config.infer, raw, network, device);
}

void warn_of(const InferencePlan& plan) {
  for (const std::string& doubt : shape_doubts(plan.raw, plan.redundancy))
    spdlog::warn("{}", doubt);
}

std::int64_t result_bytes(const InferencePlan& plan, const InferConfig& infer) {
  return plan.region.voxels() * infer.channels() * size_of(infer.type);
}

/// The prediction that an inference will write, as far as its segmentation depends on it.
VolumeInfo expected_prediction(const InferencePlan& plan, const ExperimentConfig& config) {
  VolumeInfo info;
  info.name = *config.segment.prediction;
  info.type = config.infer.type == VoxelType::float16 ? VoxelType::float32 : config.infer.type;
  info.stored_type = name_of(config.infer.type);
  info.channels = config.infer.channels();
  info.shape = plan.region.shape();
  info.chunk = plan.output_chunk;
  info.resolution_nm = plan.raw.resolution_nm;
  return info;
}

/// What is known of a segmentation before it starts.
struct PlannedSegmentation {
  SegmentationInputs inputs;
  SegmentationPlan plan;
  std::string remark;  ///< where the prediction does not exist yet
};

/// `inference`: the plan of the prediction; null where none is planned. None where neither the prediction nor
/// its plan is known. Errors: UsageError, Error.
std::optional<PlannedSegmentation> plan_of_segmentation(const ExperimentConfig& config,
                                                        const InferencePlan* inference) {
  const SegmentConfig& segment = config.segment;
  if (!segment.wanted || !segment.output || !segment.prediction) return std::nullopt;
  PlannedSegmentation planned;
  std::string why;
  if (!std::filesystem::exists(segment.prediction->file)) {
    why = "does not exist yet";
  } else {
    planned.inputs.prediction = read_volume_info(*segment.prediction);
    if (!completeness_of(planned.inputs.prediction).complete()) why = "is not complete yet";
  }
  const bool is_result = config.infer.output && config.infer.output->text() == segment.prediction->text();
  if (!why.empty()) {
    if (inference == nullptr || !is_result) return std::nullopt;
    planned.inputs.prediction = expected_prediction(*inference, config);
    planned.remark = fmt::format("{} {}: by the plan of its inference", segment.prediction->text(), why);
  }
  if (segment.mask) planned.inputs.mask = read_volume_info(*segment.mask);
  planned.plan = plan_segmentation(segment, planned.inputs);
  return planned;
}

/// The bytes of the blocks' graph files: those that exist once the first pass is complete, else an estimate.
std::string graph_bytes_text(const SegmentConfig& segment, const SegmentationPlan& plan) {
  // Measured: 0.34 to 0.49 bytes per voxel at blocks of 512^3, more for smaller ones (docs/segmentation.md).
  constexpr double kPerVoxel = 0.5;
  std::int64_t bytes = 0, files = 0;
  std::error_code missing;
  for (const auto& one :
       std::filesystem::directory_iterator(graph_folder_of(segment.output->file), missing)) {
    if (one.path().extension() != ".block") continue;
    bytes += static_cast<std::int64_t>(one.file_size(missing));
    ++files;
  }
  if (files == plan.blocks.count()) return bytes_text(bytes) + " now";
  const double voxels = static_cast<double>(volume_of(plan.region.shape()));
  return fmt::format("about {} (half a byte per voxel)", bytes_text(std::llround(kPerVoxel * voxels)));
}

/// Writes the plan of the segmentation, if the experiment has one. Errors: UsageError.
void check_segmentation(const ExperimentConfig& config, const InferencePlan* inference, std::ostream& out) {
  const SegmentConfig& segment = config.segment;
  if (!segment.wanted || !segment.output || !segment.prediction) return;
  const auto planned = plan_of_segmentation(config, inference);
  if (!planned) {
    out << fmt::format("segmentation: planned when {} is complete\n", segment.prediction->text());
    return;
  }
  out << "segmentation:\n";
  if (!planned->remark.empty()) out << fmt::format("  {}\n", planned->remark);
  out << plan_text(planned->plan, planned->inputs)
      << fmt::format("  {:<22} {}\n", "graph files", graph_bytes_text(segment, planned->plan))
      << fmt::format("  {:<22} {}\n", "result", segment.output->text());
  if (segment.supervoxels)
    out << fmt::format("  {:<22} {}\n", "supervoxels", supervoxels_of(segment.output->file).text());
}

/// Writes a line for each volume. Errors: AgreedError with the list of wrong volumes.
void check_volumes(const ExperimentConfig& config, const std::vector<InferenceVolume>& volumes,
                   const NetworkTraits& network, std::ostream& out) {
  out << fmt::format("inference of {} volumes:\n", volumes.size());
  std::size_t number = 0;
  std::int64_t bytes = 0;
  for_each_volume(volumes, Communicator::alone(), [&](const InferenceVolume& volume) {
    const std::size_t place = number++;
    const ExperimentConfig own = experiment_of(config, volume, {});
    out << fmt::format("  volume {:>3}: {}: {}", place, volume.name, own.infer.raw->text()) << std::flush;
    try {
      const InferencePlan plan = plan_volume(own, network);
      warn_of(plan);
      bytes += result_bytes(plan, own.infer);
      out << fmt::format(" {} {}, {} blocks, tile {}, {}", to_string(plan.raw.shape), name_of(plan.raw.type),
                         plan.blocks.count(), plan.tile_input.y, bytes_text(result_bytes(plan, own.infer)));
      if (own.infer.output) out << ", onto " << own.infer.output->text();
      out << "\n";
      if (const auto objects = plan_of_segmentation(own, &plan)) {
        out << fmt::format(
            "              objects: {} blocks of {}, {}, onto {}\n", objects->plan.blocks.count(),
            to_string(objects->plan.blocks.block_shape()),
            bytes_text(volume_of(objects->plan.region.shape()) * size_of(objects->plan.type())),
            own.segment.output->text());
      }
    } catch (...) {
      out << " cannot be predicted\n" << std::flush;
      throw;
    }
  });
  out << fmt::format("  {:<22} {}\n", "the results' size", bytes_text(bytes));
}

/// Writes the shares of the classes in the training volumes. Errors: UsageError when all voxels are of one
/// class.
void check_classes(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                   std::ostream& out) {
  ClassShares shares;
  for (const TrainingVolume& one : training_set_options(config, volumes, 0, 1, 1).volumes)
    shares += count_classes(one.data);
  if (shares.counts.empty()) return;  // nothing is trained on
  out << fmt::format("  {:<22} {} annotated voxels: {}\n", "classes", shares.voxels(), shares.text())
      << std::flush;
  for (const std::string& doubt : shares.doubts())
    spdlog::warn("{}", doubt);
  require_classes(shares, config.data.allow_one_class);
}

}  // namespace

void check_experiment(const ExperimentConfig& config, bool one_volume, std::ostream& out) {
  const NetworkGeometry geometry = geometry_of(config.network());
  out << fmt::format("network: {} parameters; {}\n", parameter_count(config.network()),
                     geometry.legal_sides_text(572));
  NetworkTraits network(config.network());
  if (config.model.torchscript) {
    network =
        load_inference_network(config, RunFolder(config.run_folder), Communicator::alone(), false).traits;
  }
  if (!config.data.volumes.empty() || (config.data.raw && config.data.labels)) {
    const std::vector<AnnotatedVolume> volumes = find_volumes(config.data, Communicator::alone());
    const bool cuda = config.device == "cuda";  // auto is planned for the CPU
    const TrainingResources resources{kAnyMemory, training_precision(config, cuda), cuda};
    out << fmt::format("training: {}; {}\n", name_of(resources.precision),
                       plan_text(plan_training(config, volumes, resources), config.network()));
    out << volumes_text(volumes);
    for (const AnnotatedVolume& one : volumes) {
      if (const std::string doubt = axis_order_doubt(one.raw.shape); !doubt.empty())
        spdlog::warn("{}: {}. {}", one.raw.name.text(), doubt, axis_order_advice(one.raw.name.text()));
    }
    check_classes(config, volumes, out);
  }
  const std::vector<InferenceVolume> volumes =
      one_volume ? std::vector<InferenceVolume>{{config.name, {}}} : inference_volumes(config);
  if (volumes.size() > 1) {
    if (config.segment.wanted) require_own_choices(config, volumes.size());
    check_volumes(config, volumes, network, out);
    return;
  }
  if (config.infer.raw) {
    const ExperimentConfig own = experiment_of(config, volumes.front(), {});
    const InferencePlan plan = plan_volume(own, network);
    warn_of(plan);
    out << "inference:\n" << plan_text(plan, network);
    out << fmt::format("  {:<22} {}\n", "result's size", bytes_text(result_bytes(plan, own.infer)));
    return check_segmentation(own, &plan, out);
  }
  const std::vector<InferenceVolume> segmented = one_volume ? volumes : segmentation_volumes(config);
  require_own_choices(config, segmented.size());
  for (const InferenceVolume& one : segmented) {
    if (segmented.size() > 1) out << "volume " << one.name << ": ";
    check_segmentation(experiment_of(config, one, {}), nullptr, out);
  }
}

std::int64_t segmentation_memory(const ExperimentConfig& config) {
  try {
    std::optional<InferencePlan> inference;
    const InferenceVolume first = segmentation_volumes(config).front();
    const ExperimentConfig own = experiment_of(config, first, {});
    if (own.infer.raw && std::filesystem::exists(own.infer.raw->file) && !config.model.torchscript)
      inference = plan_volume(own, NetworkTraits(config.network()));
    const auto planned = plan_of_segmentation(own, inference ? &*inference : nullptr);
    return planned ? planned->plan.memory_per_worker(size_of(planned->inputs.prediction.type)) : 0;
  } catch (const Error&) {
    return 0;  // check_experiment() says why
  }
}

}  // namespace tessera
