#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_options.h"
#include "pipeline/inputs/stack_import.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/next_step.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// "3" or "all".
std::int64_t parse_plane_choice(const std::string& text, const std::string& option) {
  if (text == "all") return ImageOptions::kAsSections;
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size() || number < 0)
    throw UsageError(fmt::format("{} {}: write a number, counted from 0, or all", option, text));
  return number;
}

template <NamedEnum E>
void read_choice(const boost::program_options::variables_map& values, const char* option, E& choice) {
  if (values.count(option) == 0) return;
  const auto& text = values[option].as<std::string>();
  const auto found = value_named<E>(text);
  if (!found || *found == E::ask) {
    std::vector<std::string> words = names_of<E>();
    std::erase(words, "ask");
    throw UsageError(fmt::format("--{} {}: write {}", option, text, fmt::join(words, " or ")));
  }
  choice = *found;
}

VoxelType parse_type(const std::string& text) {
  const auto type = value_named<VoxelType>(text);
  if (!type || *type == VoxelType::float16)
    throw UsageError(fmt::format("--dtype {}: write uint8, uint16, uint32, uint64 or float32", text));
  return *type;
}

ImageOptions read_image_options(const boost::program_options::variables_map& values) {
  ImageOptions options;
  if (values.count("channel") != 0)
    options.channel = parse_plane_choice(values["channel"].as<std::string>(), "--channel");
  if (values.count("time") != 0)
    options.time = parse_plane_choice(values["time"].as<std::string>(), "--time");
  options.indices = values["indices"].as<bool>();
  read_choice(values, "white-is-zero", options.white_is_zero);
  read_choice(values, "missing", options.missing);
  return options;
}

}  // namespace

OptionTable import_options() {
  namespace po = boost::program_options;
  po::options_description described("options");
  auto add = described.add_options();
  add("stack", po::value<std::string>()->required(),
      "a multi-page TIFF, a folder of PNG or TIFF sections, or a dataset");
  add("output", po::value<std::string>()->required(),
      "the dataset to write; other datasets of the file stay");
  add("resolution", po::value<std::string>(), "voxel size in nm, Z,Y,X");
  add("offset", po::value<std::string>(), "offset of the first voxel in nm, Z,Y,X");
  add("chunk", po::value<std::string>(), "storage chunk in voxels, Z,Y,X");
  add("gzip", po::value<int>()->default_value(0), "compression, 0 (none) to 9");
  add("axes", po::value<std::string>(),
      "the order of the source's axes, the slowest first, such as yxz; default zyx");
  add("dtype", po::value<std::string>(), "convert the voxels to uint8, uint16, uint32, uint64 or float32");
  add("threshold", po::value<double>(), "make labels of a probability: 1 above this value, else 0");
  add("channel", po::value<std::string>(),
      "of images with several channels: the one to read, or all (as sections)");
  add("time", po::value<std::string>(),
      "of images with several time points: the one to read, or all (as sections)");
  add("indices", po::bool_switch(), "of palette images: read the indices (labels), not colours");
  add("white-is-zero", po::value<std::string>(),
      "of images whose value 0 is white: keep or invert the numbers");
  add("missing", po::value<std::string>(),
      "sections missing by the numbers in a folder: black, repeat or skip");
  add("allow-incomplete", po::bool_switch(), "import a result of infer that is not whole");
  add("overwrite", po::bool_switch(), "replace the dataset when it exists");
  return described;
}

int run_import(const OptionValues& values, const Communicator& world) {
  StackImport options;
  options.source = values["stack"].as<std::string>();
  if (values.count("axes") != 0) options.reading.axes = AxisOrder(values["axes"].as<std::string>());
  if (values.count("dtype") != 0) options.reading.type = parse_type(values["dtype"].as<std::string>());
  if (values.count("threshold") != 0) options.reading.threshold = values["threshold"].as<double>();
  if (options.reading.type && options.reading.threshold)
    throw UsageError("--dtype and --threshold exclude each other: a threshold makes uint8 labels");
  options.reading.allow_incomplete = values["allow-incomplete"].as<bool>();
  options.output = parse_dataset_name(values["output"].as<std::string>());
  if (values.count("resolution") != 0) {
    options.spec.resolution_nm = parse_numbers(values["resolution"].as<std::string>(), 3, "--resolution");
  }
  if (values.count("offset") != 0) {
    options.spec.offset_nm = parse_offset_nm(values["offset"].as<std::string>(), "--offset");
  }
  if (values.count("chunk") != 0) options.chunk = parse_shape(values["chunk"].as<std::string>(), "--chunk");
  options.spec.gzip = values["gzip"].as<int>();
  if (options.spec.gzip < 0 || options.spec.gzip > 9) {
    throw UsageError(fmt::format("--gzip {}: write 0 (none) to 9", options.spec.gzip));
  }
  options.overwrite = values["overwrite"].as<bool>();
  options.reading.images = read_image_options(values);
  on_root(world, [&] {
    const FileLock lock(options.output.file);
    fmt::print("{}\n", import_stack(options, lock));
    tell_next(command_text({"info", options.output.file.string()}));
  });
  return kExitDone;
}

}  // namespace tessera
