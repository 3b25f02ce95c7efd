#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/hdf5/volume_file.h"
#include "io/images/image_stack.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_options.h"
#include "pipeline/run/command_line.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

struct ImportOptions {
  std::filesystem::path stack;
  DatasetName output;
  VolumeSpec spec;
  bool has_chunk = false;
  bool overwrite = false;
  ImageOptions images;
};

void import_stack(ImportOptions options) {
  const auto start = std::chrono::steady_clock::now();
  const FileLock lock(options.output.file);
  ImageStackReader stack(options.stack, options.images);
  if (stack.ignored_files() > 0) {
    spdlog::warn("{}: {} file{} passed over, hidden or neither PNG nor TIFF by name", options.stack.string(),
                 stack.ignored_files(), stack.ignored_files() == 1 ? "" : "s");
  }
  if (!stack.note().empty()) spdlog::warn("{}: {}", options.stack.string(), stack.note());
  VolumeSpec& spec = options.spec;
  spec.path = options.output.path;
  spec.type = stack.type();
  spec.shape = stack.shape();
  const Index3 wanted = options.has_chunk ? spec.chunk : default_chunk(spec.shape);
  for (int axis = 0; axis < 3; ++axis)
    spec.chunk[axis] = std::min(wanted[axis], spec.shape[axis]);
  spec.attributes["source"] = std::filesystem::absolute(options.stack).lexically_normal().string();
  VolumeFile file(options.output.file, true);
  if (spec.gzip == 0) require_free_space(options.output.file, volume_of(spec.shape) * size_of(spec.type));
  file.add(spec, options.overwrite);
  for (std::int64_t z = 0; z < spec.shape.z; z += spec.chunk.z) {
    VoxelBuffer slab(spec.type, {std::min(spec.chunk.z, spec.shape.z - z), spec.shape.y, spec.shape.x});
    std::byte* target = slab.bytes.data();
    for (std::int64_t i = 0; i < slab.shape.z; ++i) {
      const VoxelBuffer section = stack.read_section(z + i);
      std::memcpy(target, section.bytes.data(), section.bytes.size());
      target += section.bytes.size();
    }
    file.write_sections(spec.path, z, slab);
  }
  file.commit();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} {}, chunk {}, file {}, {:.1f} s\n", options.output.text(), to_string(spec.shape),
             name_of(spec.type), to_string(spec.chunk),
             bytes_text(static_cast<std::int64_t>(std::filesystem::file_size(options.output.file))),
             elapsed.count());
}

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
      "a multi-page TIFF, or a folder of PNG or TIFF sections");
  add("output", po::value<std::string>()->required(),
      "the dataset to write; other datasets of the file stay");
  add("resolution", po::value<std::string>(), "voxel size in nm, Z,Y,X");
  add("offset", po::value<std::string>(), "offset of the first voxel in nm, Z,Y,X");
  add("chunk", po::value<std::string>(), "storage chunk in voxels, Z,Y,X");
  add("gzip", po::value<int>()->default_value(0), "compression, 0 (none) to 9");
  add("channel", po::value<std::string>(),
      "of images with several channels: the one to read, or all (as sections)");
  add("time", po::value<std::string>(),
      "of images with several time points: the one to read, or all (as sections)");
  add("indices", po::bool_switch(), "of palette images: read the indices (labels), not colours");
  add("white-is-zero", po::value<std::string>(),
      "of images whose value 0 is white: keep or invert the numbers");
  add("missing", po::value<std::string>(),
      "sections missing by the numbers in a folder: black, repeat or skip");
  add("overwrite", po::bool_switch(), "replace the dataset when it exists");
  return described;
}

int run_import(const OptionValues& values, const Communicator& world) {
  ImportOptions options;
  options.stack = values["stack"].as<std::string>();
  options.output = parse_dataset_name(values["output"].as<std::string>());
  if (values.count("resolution") != 0) {
    options.spec.resolution_nm = parse_numbers(values["resolution"].as<std::string>(), 3, "--resolution");
  }
  if (values.count("offset") != 0) {
    options.spec.offset_nm = parse_offset_nm(values["offset"].as<std::string>(), "--offset");
  }
  options.has_chunk = values.count("chunk") != 0;
  if (options.has_chunk) options.spec.chunk = parse_shape(values["chunk"].as<std::string>(), "--chunk");
  options.spec.gzip = values["gzip"].as<int>();
  if (options.spec.gzip < 0 || options.spec.gzip > 9) {
    throw UsageError(fmt::format("--gzip {}: write 0 (none) to 9", options.spec.gzip));
  }
  options.overwrite = values["overwrite"].as<bool>();
  options.images = read_image_options(values);
  on_root(world, [&] { import_stack(options); });
  return kExitDone;
}

}  // namespace tessera
