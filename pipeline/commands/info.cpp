#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/json_text.h"
#include "io/hdf5/hdf5_listing.h"
#include "pipeline/commands/commands.h"
#include "pipeline/run/volume_look_up.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

void print_attributes(const std::map<std::string, std::string>& attributes) {
  constexpr std::size_t kLongest = 200;
  for (const auto& [key, value] : attributes) {
    const std::string first_line = value.substr(0, std::min(value.find('\n'), kLongest));
    fmt::print("    {}: {}{}\n", key, first_line,
               first_line.size() < value.size() ? fmt::format(" ... ({} characters)", value.size()) : "");
  }
}

void print_volume(const VolumeInfo& volume) {
  if (!volume.resolution_nm.empty())
    fmt::print("    resolution {} nm\n", fmt::join(volume.resolution_nm, ", "));
  if (!volume.offset_nm.empty()) fmt::print("    offset {} nm\n", fmt::join(volume.offset_nm, ", "));
  print_attributes(volume.attributes);
}

std::string storage_text(const VolumeInfo& volume) {
  if (!volume.chunk) return "contiguous";
  std::string text = "chunk " + to_string(*volume.chunk);
  if (volume.rank == 4)
    text += fmt::format(" x {} channel{}", volume.chunk_channels, volume.chunk_channels == 1 ? "" : "s");
  for (const std::string& filter : volume.filters)
    text += ", " + filter;
  return text;
}

void print_entry(const Hdf5Entry& entry) {
  switch (entry.kind) {
    case Hdf5Entry::Kind::external_link:
    case Hdf5Entry::Kind::soft_link:
      fmt::print("{} -> {}\n", entry.path, entry.target);
      if (!entry.problem.empty()) fmt::print("    {}\n", entry.problem);
      return;
    case Hdf5Entry::Kind::broken:
      fmt::print("{} cannot be opened: {}\n", entry.path, entry.problem);
      return;
    case Hdf5Entry::Kind::dataset:
      break;
  }
  fmt::print("{} ({}) {}, {}, {} stored\n", entry.path, fmt::join(entry.shape, ", "), entry.type,
             entry.volume ? storage_text(*entry.volume) : std::string("no volume"),
             bytes_text(entry.stored_bytes));
  if (entry.volume)
    print_volume(*entry.volume);
  else
    fmt::print("    {}\n", entry.problem);
}

nlohmann::json entry_json(const Hdf5Entry& entry) {
  nlohmann::json json{{"path", entry.path}, {"kind", name_of(entry.kind)}};
  if (!entry.problem.empty()) json["problem"] = entry.problem;
  if (!entry.target.empty()) json["target"] = entry.target;
  if (entry.kind != Hdf5Entry::Kind::dataset) return json;
  json["shape"] = entry.shape;
  json["type"] = entry.type;
  json["stored_bytes"] = entry.stored_bytes;
  json["is_volume"] = entry.volume.has_value();
  if (!entry.volume) return json;
  const VolumeInfo& volume = *entry.volume;
  if (volume.chunk) json["chunk"] = {volume.chunk->z, volume.chunk->y, volume.chunk->x};
  json["filters"] = volume.filters;
  if (!volume.resolution_nm.empty()) json["resolution_nm"] = volume.resolution_nm;
  if (!volume.offset_nm.empty()) json["offset_nm"] = volume.offset_nm;
  json["attributes"] = volume.attributes;
  return json;
}

void print_info(const std::filesystem::path& file, bool as_json) {
  const Hdf5Listing listing = list_hdf5_file(file);
  warn_when_written(file);
  if (as_json) {
    nlohmann::json json{{"file", file.string()}, {"attributes", listing.attributes}};
    json["entries"] = nlohmann::json::array();
    for (const Hdf5Entry& entry : listing.entries)
      json["entries"].push_back(entry_json(entry));
    fmt::print("{}\n", json_text(json, 2));
    return;
  }
  fmt::print("{}: {}\n", file.string(),
             bytes_text(static_cast<std::int64_t>(std::filesystem::file_size(file))));
  print_attributes(listing.attributes);
  for (const Hdf5Entry& entry : listing.entries)
    print_entry(entry);
  if (listing.entries.empty()) fmt::print("it holds no dataset\n");
}

}  // namespace

OptionTable info_options() {
  namespace po = boost::program_options;
  po::options_description described("options");
  auto add = described.add_options();
  add("file", po::value<std::string>()->required(), "the HDF5 file to list");
  add("json", po::bool_switch(), "print JSON");
  return described;
}

int run_info(const OptionValues& values, const Communicator& world) {
  const std::filesystem::path file = values["file"].as<std::string>();
  on_root(world, [&] { print_info(file, values["json"].as<bool>()); });
  return kExitDone;
}

}  // namespace tessera
