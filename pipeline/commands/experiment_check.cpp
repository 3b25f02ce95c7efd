#include "pipeline/commands/experiment_check.h"

#include <fmt/format.h>

#include <filesystem>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "io/geometry/axis_order.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/commands/volume_choice.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/infer/inference_plan.h"
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

namespace {

/// Writes the plan of the segmentation, if the experiment has one. Errors: UsageError.
void check_segmentation(const SegmentConfig& segment, std::ostream& out) {
  if (!segment.output || !segment.prediction) return;
  if (!std::filesystem::exists(segment.prediction->file)) {
    out << fmt::format("segmentation: planned when {} exists\n", segment.prediction->file.string());
    return;
  }
  SegmentationInputs inputs{read_volume_info(*segment.prediction), std::nullopt};
  if (!completeness_of(inputs.prediction).complete()) {
    out << fmt::format("segmentation: planned when {} is complete\n", segment.prediction->text());
    return;
  }
  if (segment.mask) inputs.mask = read_volume_info(*segment.mask);
  out << "segmentation:\n" << plan_text(plan_segmentation(segment, inputs), inputs);
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
    check_volumes(config, volumes, network, out);
  } else if (config.infer.raw) {
    const ExperimentConfig own = experiment_of(config, volumes.front(), {});
    const InferencePlan plan = plan_volume(own, network);
    warn_of(plan);
    out << "inference:\n" << plan_text(plan, network);
    out << fmt::format("  {:<22} {}\n", "result's size", bytes_text(result_bytes(plan, own.infer)));
  }
  check_segmentation(config.segment, out);
}

}  // namespace tessera
