#include "pipeline/config/infer_config.h"

#include <fmt/format.h>

#include "io/stores/dataset_wildcards.h"
#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

/// The classes and the type of the result.
void read_result(ConfigSection& infer, InferConfig& i) {
  i.labels =
      infer.choice({"write",
                    "What the result holds. probability: of the classes. labels: the predicted class of each "
                    "voxel, as uint8.",
                    {.example = "labels", .related = "infer.class infer.classes infer.dtype"}},
                   "probability", {"probability", "labels"}) == "labels";
  i.output_class = infer.get<std::int64_t>({"class",
                                            "The class whose probability is written.",
                                            {.example = "2", .related = "infer.classes model.classes"}},
                                           1, between(0, 254));
  i.classes = infer.get<std::vector<std::int64_t>>(
      {"classes",
       "Several classes: the result is then (channel, z, y, x), with a channel for each.",
       {.example = "[0, 2]", .fallback = "[infer.class]", .related = "infer.class infer.write"}},
      {i.output_class}, between(0, 254));
  if (i.classes.empty()) {
    infer.problem("classes", "at least one class is needed");
    i.classes = {i.output_class};
  }
  i.output_class = i.classes.front();
  i.type = infer.choice({"dtype",
                         "The type of a probability. uint8: 255 is 1. Labels are always uint8.",
                         {.example = "float16", .related = "infer.write"}},
                        VoxelType::uint8, {VoxelType::uint8, VoxelType::float16, VoxelType::float32});
  if (i.labels && i.type != VoxelType::uint8) infer.problem("dtype", "labels are written as uint8");
}

/// The part of the volume to predict, and where no block is predicted.
void read_extent(ConfigSection& infer, InferConfig& i) {
  ConfigSection region = infer.section(
      {"region",
       "The part of the volume to predict. The result has its shape and its offset. Without it: all."});
  i.region_begin = position(
      region, {"begin", "The first voxel of the region.", {.example = "[0, 0, 0]", .fallback = "[0, 0, 0]"}});
  i.region_end = position(region, {"end",
                                   "The voxel after the last one of the region, on each axis.",
                                   {.example = "[20, 512, 512]", .fallback = "the volume's shape"}});
  ConfigSection skip = infer.section({"skip", "Blocks that are not predicted. They stay 0."});
  i.skip_mask =
      dataset(skip, {"mask",
                     "Integers, of the raw volume's shape or coarser by integer factors. Blocks where the "
                     "mask is all 0 are skipped. With wildcards in infer.raw: one for each volume.",
                     {.example = "mask.h5:/volumes/mask", .fallback = "none"}});
  const auto background = skip.optional<std::vector<double>>(
      {"background",
       "Blocks whose raw values all lie between these two, both included, are skipped.",
       {.example = "[0, 3]", .fallback = "none", .form = "[lowest, highest], raw values"}},
      list_of(2));
  if (background && background->size() == 2) {
    if ((*background)[0] > (*background)[1]) skip.problem("background", "the lower value comes first");
    i.background = {(*background)[0], (*background)[1]};
  }
}

void read_averaging(ConfigSection& infer, InferConfig& i) {
  i.averaging =
      infer.choice({"averaging",
                    "Averages the probabilities of several versions of each tile. symmetries8: mirrored and "
                    "transposed, exact. "
                    "rotations7: the seven rotated versions of Ronneberger et al. 2015, interpolated.",
                    {.example = "symmetries8", .related = "infer.blend"}},
                   Averaging::none);
  i.blending =
      infer.choice({"blend",
                    "How tiles are joined. crop: exact, for networks whose outputs depend only on the tile's "
                    "pixels. linear, "
                    "gaussian: overlapping tiles are averaged, for networks that normalise each tile.",
                    {.example = "linear", .related = "infer.blend_overlap infer.averaging"}},
                   Blending::crop);
  i.blend_overlap = infer.get<std::int64_t>({"blend_overlap",
                                             "The overlap of blended tiles in pixels. It is rounded up to a "
                                             "multiple of twice the network's alignment.",
                                             {.example = "128", .related = "infer.blend"}},
                                            64, between(1, 65536));
  if (i.blending != Blending::crop && i.averaging == Averaging::rotations7) {
    infer.problem("blend",
                  "rotated versions have no seams to blend: set blend: crop, or averaging: symmetries8");
  }
}

void read_normalisation(ConfigSection& infer, InferConfig& i) {
  i.normalisation = infer.choice({"normalisation",
                                  "Mean and deviation of the raw values. checkpoint: as in training. volume: "
                                  "of the volume. section: of each "
                                  "section. fixed: mean_and_std.",
                                  {.example = "fixed", .related = "infer.mean_and_std data.normalisation"}},
                                 NormalisationKind::checkpoint);
  const auto values = infer.optional<std::vector<double>>(
      {"mean_and_std",
       "The mean and the standard deviation of the raw values, with normalisation: fixed.",
       {.example = "[128, 40]",
        .fallback = "none",
        .form = "[mean, deviation]; the deviation is more than 0",
        .related = "infer.normalisation"}},
      list_of(2));
  if (values && values->size() == 2) {
    i.fixed_normalisation = {(*values)[0], (*values)[1]};
    if ((*values)[1] <= 0) infer.problem("mean_and_std", "the standard deviation must be above 0");
    if (i.normalisation != NormalisationKind::fixed)
      infer.problem("mean_and_std", "is used with normalisation: fixed only");
  } else if (i.normalisation == NormalisationKind::fixed) {
    infer.problem("normalisation", "fixed needs mean_and_std: [mean, standard deviation]");
  }
}

/// What is read, what is written, and with which network.
void read_names(ConfigSection& infer, const DataConfig& data, ImageInputs& images, bool needed,
                InferConfig& i) {
  i.raw = volume_input(
      infer,
      {"raw",
       "The volume to predict. Wildcards as in data.raw, such as stacks/*.h5:/volumes/raw, select "
       "several; each is predicted separately.",
       {.example = "em.h5:/volumes/raw", .fallback = "data.raw", .related = "data.raw infer.output"}},
      false, images, needed && (!data.raw || data.names_several()));
  if (!i.raw && !infer.has("raw") && !data.names_several()) i.raw = data.raw;
  if (infer.has("ensemble") && !infer.has("checkpoint")) return;
  i.checkpoint = infer.get<std::string>({"checkpoint",
                                         "The trained network: best or latest of the run folder, a file, or "
                                         "a folder of checkpoints (its newest).",
                                         {.example = "latest",
                                          .form = "best, latest, a file or a folder",
                                          .related = "train.validation_metric infer.ensemble"}},
                                        "best");
}

/// Several networks in place of one.
void read_ensemble(ConfigSection& infer, bool torchscript, InferConfig& i) {
  const auto names = infer.optional<std::vector<std::string>>(
      {"ensemble",
       "Several trained networks of one shape, in place of checkpoint: the result is the mean of their "
       "probabilities. A run folder stands for its best checkpoint, else its newest one.",
       {.example = "[runs/seed1, runs/seed2, runs/seed3]",
        .fallback = "none",
        .form = "a list of run folders and checkpoint files",
        .related = "infer.checkpoint infer.averaging"}});
  if (!names) return;
  if (names->empty()) infer.problem("ensemble", "names no network: remove it, or name run folders");
  if (torchscript) infer.problem("ensemble", "is of checkpoints: remove it, or model.torchscript");
  if (infer.has("checkpoint")) infer.problem("ensemble", "replaces infer.checkpoint: remove one of them");
  for (const std::string& one : *names) {
    if (one == "best" || one == "latest")
      infer.problem("ensemble", fmt::format("'{}' is of one run: name run folders or files", one));
  }
  i.ensemble = *names;
}

/// The result's name. Without a raw volume there is no result; of several volumes each has its own default.
void read_output(ConfigSection& infer, const InferDefaults& defaults, InferConfig& i) {
  const Key key{"output",
                "The result, in a file of its own. With wildcards in raw, as many here: "
                "predictions/*.h5:/volumes/predictions/interior.",
                {.example = "runs/example/prediction.h5:/volumes/predictions/interior",
                 .fallback = "prediction.h5 in the run folder, with a path that says what it holds; of many "
                             "volumes in the folder of each",
                 .form = "a dataset, FILE.h5:/path/in/file",
                 .related = "infer.raw infer.dtype infer.chunk run_folder"}};
  if (infer.has("output") || !i.raw || !wildcards_of(*i.raw).empty()) {
    i.output = dataset(infer, key);
    return;
  }
  i.output = default_output(defaults.run_folder, i, defaults.classes);
  infer.get<std::string>(key, i.output->text());
}

/// How blocks are computed.
void read_computation(ConfigSection& infer, bool torchscript, InferConfig& i) {
  i.threads = static_cast<int>(number_or_auto(infer,
                                              {"threads",
                                               "CPU threads of each worker. auto: the cores of the rank.",
                                               {.example = "4", .related = "train.threads"}},
                                              between(1, 4096)));
  i.reproducible = infer.get<bool>(
      {"reproducible",
       "On a GPU. true: kernels are chosen heuristically, so that the result does not depend on ranks and "
       "restarts. "
       "false: kernels are autotuned, and the last bit may depend on them. On the CPU always true.",
       {.example = "false", .related = "infer.exact_tiles"}},
      true);
  i.exact_tiles = infer.choice(
      {"exact_tiles",
       "On a GPU. true: tiles of every size have the bits of the whole section, by shape-invariant kernels, "
       "which are "
       "slower. false: only the libraries' kernels. auto: translation-invariant (bitwise); in float32 with "
       "reproducible as true, where the card supports it.",
       {.example = "true", .related = "infer.reproducible infer.tile"}},
      ExactTiles::automatic);
  if (i.exact_tiles == ExactTiles::yes && torchscript)
    infer.problem("exact_tiles", "is for Tessera's own networks, not model.torchscript: set it to false");
  i.max_retries =
      static_cast<int>(infer.get<std::int64_t>({"max_retries",
                                                "How often a failed block is tried again, by another worker "
                                                "where there is one. Then it is set aside, the rest "
                                                "is done, and the run ends with exit code 1.",
                                                {.example = "5"}},
                                               i.max_retries, between(0, 100)));
  i.watchdog_minutes = silence_minutes(infer);
  i.memory_budget =
      number_or_auto(infer,
                     {"memory_budget_mib",
                      "Memory for the activations of one tile, in MiB. auto: 2048; on a GPU 12288, or "
                      "70 % of its memory if that is less.",
                      {.example = "4096", .related = "infer.tile"}},
                     between(16, 1 << 24)) *
      (std::int64_t{1} << 20);
}

}  // namespace

DatasetName default_output(const std::filesystem::path& run_folder, const InferConfig& infer,
                           std::int64_t classes) {
  std::string content = fmt::format("class_{}", infer.classes.front());
  if (infer.labels) {
    content = "classes";
  } else if (infer.classes.size() > 1) {
    content = "probabilities";
  } else if (classes <= 2) {
    content = infer.classes.front() == 0 ? "membrane" : "interior";
  }
  return {run_folder / "prediction.h5", "/volumes/predictions/" + content};
}

InferConfig read_infer(ConfigSection infer, const InferDefaults& defaults, ImageInputs& images, bool needed) {
  InferConfig i;
  read_names(infer, defaults.data, images, needed, i);
  read_ensemble(infer, defaults.torchscript, i);
  const std::int64_t tile =
      number_or_auto(infer,
                     {"tile",
                      "The side of a tile's input in pixels. auto: the largest that fits memory_budget_mib.",
                      {.example = "572", .related = "infer.memory_budget_mib infer.block"}},
                     at_least(1));
  if (tile != 0) i.tile = Index3{1, tile, tile};
  i.block = shape(infer, {"block",
                          "The unit of reading, writing, scheduling and restart: whole chunks of the result.",
                          {.example = "[4, 1024, 1024]",
                           .fallback = "one layer of the raw volume's chunks, up to 2048 wide",
                           .related = "infer.chunk"}});
  i.chunk = shape(infer, {"chunk",
                          "The storage chunk of the result.",
                          {.example = "[4, 256, 256]",
                           .fallback = "the raw volume's, where it fits",
                           .related = "infer.block"}});
  i.precision = infer.choice_or_auto<Precision>(
      {"precision",
       "The type of the activations. auto: float32 on the CPU, bfloat16 on CUDA. float16 needs CUDA.",
       {.example = "bfloat16", .related = "train.precision"}});
  read_result(infer, i);
  read_output(infer, defaults, i);
  read_extent(infer, i);
  read_averaging(infer, i);
  read_normalisation(infer, i);
  read_computation(infer, defaults.torchscript, i);
  return i;
}

}  // namespace tessera
