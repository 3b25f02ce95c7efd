#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>

#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/base/replace_folder.h"
#include "io/base/temporary_name.h"
#include "io/images/image_stack.h"
#include "io/stores/dataset_wildcards.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/export_tracking.h"
#include "pipeline/commands/result_argument.h"
#include "pipeline/config/experiment.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/next_step.h"
#include "pipeline/run/volume_look_up.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

struct ExportOptions {
  DatasetName volume;
  std::filesystem::path output;
  std::optional<SectionRange> sections;
  std::optional<std::int64_t> channel;
  bool overwrite = false, allow_incomplete = false;
  bool tracking = false;              ///< the layout of the Cell Tracking Challenge
  std::optional<DatasetName> frames;  ///< with the attribute that numbers the frames
};

/// Without links, and without a slash at the end.
std::filesystem::path without_slash(const std::filesystem::path& folder) {
  return resolve_links(folder.has_filename() ? folder : folder.parent_path());
}

void require_fit_output(const ExportOptions& options) {
  std::string extension = options.output.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* other : {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".h5", ".hdf5", ".hdf", ".zarr",
                            ".n5", ".mrc", ".nii"}) {
    if (extension == other) {
      throw UsageError(fmt::format("cannot export to {}: name a .tif file, or a folder for PNG sections",
                                   options.output.string()));
    }
  }
  if (options.overwrite || !std::filesystem::exists(options.output)) return;
  if (!std::filesystem::is_directory(options.output) || !std::filesystem::is_empty(options.output)) {
    throw UsageError(
        fmt::format("{} exists already; pass --overwrite to replace it", options.output.string()));
  }
}

std::int64_t chosen_channel(const ExportOptions& options, std::int64_t channels) {
  if (!options.channel && channels > 1) {
    throw UsageError(fmt::format("{} has {} channels: choose one with --channel 0 to {}",
                                 options.volume.text(), channels, channels - 1));
  }
  const std::int64_t channel = options.channel.value_or(0);
  if (channel < 0 || channel >= channels) {
    throw UsageError(
        fmt::format("--channel {}: {} has channels 0 to {}", channel, options.volume.text(), channels - 1));
  }
  return channel;
}

/// The attribute `frames` of a dataset of import-ctc. Errors: UsageError without it.
std::string frames_of(const DatasetName& name) {
  const VolumeInfo info = read_volume_info(name);
  const auto found = info.attributes.find("frames");
  if (found == info.attributes.end())
    throw UsageError(fmt::format(
        "--frames: {} has no attribute 'frames': name a dataset of tessera import-ctc", name.text()));
  return found->second;
}

void export_volume(const ExportOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const FileLock lock(options.output);
  mend_replaced_folder(without_slash(options.output));
  require_fit_output(options);
  const std::unique_ptr<Volume> volume = open_volume(options.volume);
  warn_when_written(options.volume.file);
  const VolumeInfo& info = volume->info();
  const ResultCompleteness completeness = require_complete(info, options.allow_incomplete);
  const std::int64_t channel = chosen_channel(options, info.channels);
  const SectionRange sections = options.sections.value_or(SectionRange{0, info.shape.z});
  if (sections.end > info.shape.z) {
    throw UsageError(fmt::format("--sections {}:{}: {} has the sections 0:{}", sections.begin, sections.end,
                                 options.volume.text(), info.shape.z));
  }
  const Index3 shape{sections.end - sections.begin, info.shape.y, info.shape.x};
  if (options.tracking) {
    const std::int64_t labels = export_tracking(
        *volume, {without_slash(options.output), sections, options.frames ? frames_of(*options.frames) : ""});
    fmt::print("{}: {} masks, {} labels\n", options.output.string(), shape.z, labels);
    return;
  }
  ImageStackWriter stack(options.output, info.type, shape);
  // Slabs as deep as the chunks, so that each chunk is decompressed once; thinner if memory is limited.
  constexpr std::int64_t kSlabBytes = std::int64_t{256} << 20;
  const std::int64_t section_bytes = shape.y * shape.x * info.channels * size_of(info.type);
  const std::int64_t depth =
      std::clamp<std::int64_t>(kSlabBytes / section_bytes, 1, info.chunk ? info.chunk->z : 1);
  for (std::int64_t z = sections.begin; z < sections.end;) {
    const std::int64_t next = std::min(round_down(z, depth) + depth, sections.end);  // at a chunk border
    stack.write_sections(volume->read({{z, 0, 0}, {next, shape.y, shape.x}}), channel);
    z = next;
  }
  stack.finish();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} {}, {:.1f} s\n", options.output.string(), to_string(shape), name_of(info.type),
             elapsed.count());
  if (!completeness.complete())
    fmt::print("incomplete: {} of {}\n", completeness.problem, options.volume.text());
}

/// Collective. A dataset, or the result of an experiment. Errors: UsageError.
DatasetName volume_named(const std::string& text, const Communicator& world) {
  if (!text.ends_with(".yaml") && !text.ends_with(".yml")) return parse_dataset_name(text);
  const ExperimentConfig config = read_experiment(text, {}, {.inference = true}, world);
  if (config.infer.output && wildcards_of(*config.infer.output).empty()) {
    require_predicted(*config.infer.output, text, world);
    return *config.infer.output;
  }
  throw UsageError(
      fmt::format("{} predicts several volumes: name the result to export, FILE.h5:/path", text));
}

}  // namespace

OptionTable export_options() {
  namespace po = boost::program_options;
  po::options_description described("options");
  auto add = described.add_options();
  add("volume", po::value<std::string>()->required(),
      "the dataset to read, or the experiment whose result it is");
  add("output", po::value<std::string>()->required(), "a .tif file, or a folder for PNG sections");
  add("sections", po::value<std::string>(), "only the sections FIRST to END - 1, as FIRST:END");
  add("channel", po::value<std::int64_t>(), "the channel to write, of a volume with several");
  add("ctc", po::bool_switch(),
      "of ids: write masks and res_track.txt of the Cell Tracking Challenge into a folder");
  add("frames", po::value<std::string>(),
      "with --ctc: a dataset of import-ctc, whose frames number the masks");
  add("overwrite", po::bool_switch(), "replace the output when it exists");
  add("allow-incomplete", po::bool_switch(), "export a result of infer that is not whole");
  return described;
}

int run_export(const OptionValues& values, const Communicator& world) {
  ExportOptions options;
  options.volume = volume_named(values["volume"].as<std::string>(), world);
  options.output = values["output"].as<std::string>();
  if (values.count("sections") != 0)
    options.sections = parse_section_range(values["sections"].as<std::string>());
  if (values.count("channel") != 0) options.channel = values["channel"].as<std::int64_t>();
  options.tracking = values["ctc"].as<bool>();
  if (values.count("frames") != 0) options.frames = parse_dataset_name(values["frames"].as<std::string>());
  if (options.frames && !options.tracking) throw UsageError("--frames goes with --ctc");
  if (options.tracking && options.output.extension() == ".tif")
    throw UsageError("--ctc writes a folder of masks, such as 01_RES: leave .tif out");
  options.overwrite = values["overwrite"].as<bool>();
  options.allow_incomplete = values["allow-incomplete"].as<bool>();
  on_root(world, [&] {
    export_volume(options);
    tell_next(fmt::format("open {} in a viewer of image stacks, such as Fiji", options.output.string()));
  });
  return kExitDone;
}

}  // namespace tessera
