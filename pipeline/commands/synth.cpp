#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/hdf5/volume_file.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/volume_options.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/next_step.h"
#include "workers/mpi/agreement.h"
#include "workers/synthetic/dic_cells.h"
#include "workers/synthetic/serial_sections.h"

namespace tessera {
namespace {

/// What is made. The version changes whenever the same seed gives other bytes.
struct SynthKind {
  const char* name;
  const char* generator;
  const char* resolution_nm;
  double cell_size_px;
};
constexpr std::array<SynthKind, 2> kKinds{{{"em", "tessera synth, serial sections, version 1", "50,4,4", 60},
                                           {"dic", "tessera synth, DIC cells, version 1", "1,190,190", 110}}};

constexpr auto kRaw = "/volumes/raw";
constexpr auto kCells = "/volumes/labels/cells";
constexpr auto kInstances = "/volumes/labels/instances";

/// Copies a section to place `index` of the slab.
template <class Voxel>
void append_section(VoxelBuffer& slab, std::int64_t index, const std::vector<Voxel>& section) {
  std::copy(section.begin(), section.end(), slab.as<Voxel>().begin() + index * std::ssize(section));
}

/// `sections`: SerialSections or DicCells, of these options.
template <class Sections>
void write_stack(const std::filesystem::path& output, const SynthKind& kind, const Sections& sections,
                 const SerialSectionsOptions& options, const std::vector<double>& resolution_nm,
                 bool overwrite) {
  const auto start = std::chrono::steady_clock::now();
  const FileLock lock(output);
  if (std::filesystem::exists(output) && !overwrite) {
    throw UsageError(fmt::format("{} exists already; pass --overwrite to replace it", output.string()));
  }
  const Index3 shape = options.shape;
  VolumeSpec spec;
  spec.shape = shape;
  spec.chunk = default_chunk(shape);
  spec.resolution_nm = resolution_nm;
  spec.offset_nm = {0, 0, 0};
  spec.attributes = {{"generator", kind.generator},
                     {"seed", fmt::format("{}", options.seed)},
                     {"cell_size_px", fmt::format("{}", options.cell_size_px)}};
  VolumeFile file(output, false);
  require_free_space(output, volume_of(shape) * 2);
  spec.path = kRaw;
  spec.type = VoxelType::uint8;
  file.add(spec, false);
  spec.gzip = 4;  // labels compress well
  spec.path = kCells;
  file.add(spec, false);
  spec.path = kInstances;
  spec.type = VoxelType::uint64;
  file.add(spec, false);
  for (std::int64_t z = 0; z < shape.z; z += spec.chunk.z) {
    const Index3 slab{std::min(spec.chunk.z, shape.z - z), shape.y, shape.x};
    VoxelBuffer raw(VoxelType::uint8, slab), cells(VoxelType::uint8, slab),
        instances(VoxelType::uint64, slab);
    for (std::int64_t i = 0; i < slab.z; ++i) {
      const SerialSection section = sections.section(z + i);
      append_section(raw, i, section.raw);
      append_section(cells, i, section.cells);
      append_section(instances, i, section.instances);
    }
    file.write_sections(kRaw, z, raw);
    file.write_sections(kCells, z, cells);
    file.write_sections(kInstances, z, instances);
  }
  file.commit();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} with {}, {} and {}, file {}, {:.1f} s\n", output.string(), to_string(shape), kRaw,
             kCells, kInstances, bytes_text(static_cast<std::int64_t>(std::filesystem::file_size(output))),
             elapsed.count());
}

const SynthKind& kind_of(const std::string& name) {
  for (const SynthKind& kind : kKinds) {
    if (kind.name == name) return kind;
  }
  throw UsageError(fmt::format("--kind {}: it must be em or dic", name));
}

}  // namespace

OptionTable synth_options() {
  namespace po = boost::program_options;
  po::options_description described("options");
  auto add = described.add_options();
  add("output", po::value<std::string>()->required(), "the HDF5 file to write");
  add("shape", po::value<std::string>()->default_value("20,512,512"), "size in voxels, Z,Y,X");
  add("seed", po::value<std::uint64_t>()->default_value(1), "the same seed gives the same bytes");
  add("kind", po::value<std::string>()->default_value("em"),
      "em: serial sections of neurons. dic: frames of flat cells in differential interference contrast");
  add("resolution", po::value<std::string>(),
      "voxel size in nm, Z,Y,X; default: 50,4,4, or 1,190,190 of dic");
  add("cell-size", po::value<double>(), "typical width of a cell in pixels; default: 60, or 110 of dic");
  add("overwrite", po::bool_switch(), "replace the file when it exists");
  return described;
}

int run_synth(const OptionValues& values, const Communicator& world) {
  const SynthKind& kind = kind_of(values["kind"].as<std::string>());
  SerialSectionsOptions options;
  options.shape = parse_shape(values["shape"].as<std::string>(), "--shape");
  options.seed = values["seed"].as<std::uint64_t>();
  options.cell_size_px = values.count("cell-size") ? values["cell-size"].as<double>() : kind.cell_size_px;
  const std::vector<double> resolution_nm =
      parse_numbers(values.count("resolution") ? values["resolution"].as<std::string>() : kind.resolution_nm,
                    3, "--resolution");
  on_root(world, [&] {
    const std::string output = values["output"].as<std::string>();
    const bool overwrite = values["overwrite"].as<bool>();
    if (&kind == &kKinds.front())
      write_stack(output, kind, SerialSections(options), options, resolution_nm, overwrite);
    else
      write_stack(output, kind, DicCells(options), options, resolution_nm, overwrite);
    tell_next(command_text({"init", output}));
  });
  return kExitDone;
}

}  // namespace tessera
