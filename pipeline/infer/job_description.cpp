#include "pipeline/infer/job_description.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/base/sha256.h"
#include "pipeline/blocks/input_files.h"

namespace tessera {
namespace {

void describe_raw(const VolumeInfo& raw, JobDescription& job) {
  describe_files(raw, "raw", job);
  job["raw.shape"] = to_string(raw.shape);
  job["raw.channels"] = std::to_string(raw.channels);
  job["raw.type"] = name_of(raw.type);
}

}  // namespace

std::string network_digest(const Checkpoint& checkpoint) {
  Sha256 digest;
  for (const auto& [name, value] : checkpoint.counters) {
    if (name.rfind("network_", 0) == 0) digest.add(fmt::format("{} {}\n", name, value));
  }
  for (const auto& [name, array] : checkpoint.arrays) {
    if (name.rfind("weights/", 0) != 0 && name.rfind("average/", 0) != 0) continue;
    digest.add(fmt::format("{} {} {}\n", name, static_cast<int>(array.type), fmt::join(array.shape, " ")));
    digest.add(array.bytes);
  }
  return digest.hex();
}

JobDescription describe_job(const ExperimentConfig& config, const InferencePlan& plan,
                            const InferenceInputs& inputs, const InferenceNetwork& network,
                            const ChosenNormalisation& normalisation) {
  JobDescription job;
  describe_raw(inputs.raw, job);
  job["network"] = network.digest;
  const NetworkTraits& traits = network.traits;
  job["network.margin"] = std::to_string(traits.geometry.margin);
  job["network.alignment"] = std::to_string(traits.geometry.alignment);
  job["network.sides"] = fmt::format("{} k + {}", traits.geometry.alignment, traits.geometry.side_remainder);
  job["network.padding"] = name_of(traits.geometry.padding);
  job["network.channels"] = fmt::format("{} in, {} out", traits.in_channels, traits.classes);
  job["network.activation"] = name_of(traits.activation);
  job["network.context"] = std::to_string(plan.context);
  job["infer.tile"] = plan.tile_input.y == plan.tile_input.x
                          ? std::to_string(plan.tile_input.y)
                          : fmt::format("{} x {}", plan.tile_input.y, plan.tile_input.x);
  if (plan.demand.cuda) job["infer.inputs"] = "of one size";  // as make_tile_grid lays out the tiles
  job["infer.block"] = to_string(plan.blocks.block_shape());
  job["infer.chunk"] = to_string(plan.output_chunk);
  job["infer.precision"] = name_of(plan.demand.precision);
  // With exact tiles every voxel must equal the whole section's bitwise, so all starts must use them.
  if (plan.demand.cuda && config.infer.exact_tiles == ExactTiles::yes) job["infer.exact_tiles"] = "true";
  job["infer.region"] = to_string(plan.region);
  if (!config.infer.labels) job["infer.classes"] = fmt::format("{}", fmt::join(config.infer.classes, ", "));
  job["infer.write"] = config.infer.labels ? "labels" : "probability";
  job["infer.averaging"] = name_of(config.infer.averaging);
  const std::string blending = name_of(config.infer.blending);
  job["infer.blend"] = config.infer.blending == Blending::crop
                           ? blending
                           : fmt::format("{} over {}", blending, plan.demand.blend_overlap);
  job["infer.normalisation"] =
      normalisation.by_section.empty()
          ? fmt::format("mean {}, deviation {}", normalisation.whole.mean, normalisation.whole.std)
          : "by section";
  if (inputs.mask) describe_files(*inputs.mask, "infer.skip.mask", job);
  if (config.infer.background) {
    job["infer.skip.background"] =
        fmt::format("{}, {}", config.infer.background->first, config.infer.background->second);
  }
  job["infer.dtype"] = name_of(config.infer.type);
  job["infer.output path"] = config.infer.output->path;
  job["device"] = plan.demand.cuda ? "cuda" : "cpu";
  return job;
}

}  // namespace tessera
