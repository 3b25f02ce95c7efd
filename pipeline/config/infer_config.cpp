#include "pipeline/config/infer_config.h"

#include <fmt/format.h>

#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

/// The classes, the type and the region of the result, and where no block is predicted.
void read_result(ConfigSection& infer, InferConfig& i) {
  i.output_class = infer.get<std::int64_t>("class", 1, between(0, 254));
  i.classes = infer.get<std::vector<std::int64_t>>("classes", {i.output_class}, between(0, 254));
  if (i.classes.empty()) {
    infer.problem("classes", "at least one class is needed");
    i.classes = {i.output_class};
  }
  i.output_class = i.classes.front();
  i.labels = infer.choice("write", "probability", {"probability", "labels"}) == "labels";
  i.type =
      infer.choice("dtype", VoxelType::uint8, {VoxelType::uint8, VoxelType::float16, VoxelType::float32});
  if (i.labels && i.type != VoxelType::uint8) infer.problem("dtype", "labels are written as uint8");
  ConfigSection region = infer.section("region");
  i.region_begin = position(region, "begin");
  i.region_end = position(region, "end");
  ConfigSection skip = infer.section("skip");
  i.skip_mask = dataset(skip, "mask");
  const auto background = skip.optional<std::vector<double>>("background", list_of(2));
  if (background && background->size() == 2) {
    if ((*background)[0] > (*background)[1]) skip.problem("background", "the lower value comes first");
    i.background = {(*background)[0], (*background)[1]};
  }
}

void read_averaging(ConfigSection& infer, InferConfig& i) {
  i.averaging = infer.choice("averaging", Averaging::none);
  i.blending = infer.choice("blend", Blending::crop);
  i.blend_overlap = infer.get<std::int64_t>("blend_overlap", 64, between(1, 65536));
  if (i.blending != Blending::crop && i.averaging == Averaging::rotations7) {
    infer.problem("blend",
                  "rotated versions have no seams to blend: set blend: crop, or averaging: symmetries8");
  }
}

void read_normalisation(ConfigSection& infer, InferConfig& i) {
  i.normalisation = infer.choice("normalisation", NormalisationKind::checkpoint);
  const auto values = infer.optional<std::vector<double>>("mean_and_std", list_of(2));
  if (values && values->size() == 2) {
    i.fixed_normalisation = {(*values)[0], (*values)[1]};
    if ((*values)[1] <= 0) infer.problem("mean_and_std", "the standard deviation must be above 0");
    if (i.normalisation != NormalisationKind::fixed)
      infer.problem("mean_and_std", "is used with normalisation: fixed only");
  } else if (i.normalisation == NormalisationKind::fixed) {
    infer.problem("normalisation", "fixed needs mean_and_std: [mean, standard deviation]");
  }
}

}  // namespace

InferConfig read_infer(ConfigSection infer, const DataConfig& data, bool torchscript, bool needed) {
  InferConfig i;
  i.raw = dataset(infer, "raw", needed && (!data.raw || data.names_several()));
  i.output = dataset(infer, "output", needed);
  if (!i.raw && !infer.has("raw") && !data.names_several()) i.raw = data.raw;
  i.checkpoint = infer.get<std::string>("checkpoint", "best");
  const std::int64_t tile = number_or_auto(infer, "tile", at_least(1));
  if (tile != 0) i.tile = Index3{1, tile, tile};
  i.block = shape(infer, "block");
  i.chunk = shape(infer, "chunk");
  i.precision = infer.choice_or_auto<Precision>("precision");
  read_result(infer, i);
  read_averaging(infer, i);
  read_normalisation(infer, i);
  i.threads = static_cast<int>(number_or_auto(infer, "threads", between(1, 4096)));
  i.reproducible = infer.get<bool>("reproducible", true);
  i.exact_tiles = infer.choice("exact_tiles", ExactTiles::automatic);
  if (i.exact_tiles == ExactTiles::yes && torchscript)
    infer.problem("exact_tiles", "is for Tessera's own networks, not model.torchscript: set it to false");
  i.max_retries = static_cast<int>(infer.get<std::int64_t>("max_retries", i.max_retries, between(0, 100)));
  i.watchdog_minutes = silence_minutes(infer, "watchdog_minutes");
  i.memory_budget =
      number_or_auto(infer, "memory_budget_mib", between(16, 1 << 24)) * (std::int64_t{1} << 20);
  return i;
}

}  // namespace tessera
