#include "pipeline/run/volume_look_up.h"

#include <nlohmann/json.hpp>

#include "io/base/file_lock.h"
#include "io/base/log.h"
#include "io/stores/open_volume.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

using Json = nlohmann::json;

Json json_of(const Index3& place) {
  return {place.z, place.y, place.x};
}

Index3 place_from(const Json& json) {
  return {json.at(0), json.at(1), json.at(2)};
}

Json json_of(const VolumeInfo& info) {
  return {{"file", info.name.file.string()},
          {"path", info.name.path},
          {"type", static_cast<int>(info.type)},
          {"stored_type", info.stored_type},
          {"channels", info.channels},
          {"rank", info.rank},
          {"shape", json_of(info.shape)},
          {"chunk", info.chunk ? json_of(*info.chunk) : Json()},
          {"chunk_channels", info.chunk_channels},
          {"filters", info.filters},
          {"resolution", info.resolution_nm},
          {"offset", info.offset_nm},
          {"attributes", info.attributes}};
}

VolumeInfo volume_from(const Json& json) {
  VolumeInfo info;
  info.name = {json.at("file").get<std::string>(), json.at("path")};
  info.type = static_cast<VoxelType>(json.at("type").get<int>());
  info.stored_type = json.at("stored_type");
  info.channels = json.at("channels");
  info.rank = json.at("rank");
  info.shape = place_from(json.at("shape"));
  if (!json.at("chunk").is_null()) info.chunk = place_from(json.at("chunk"));
  info.chunk_channels = json.at("chunk_channels");
  info.filters = json.at("filters").get<std::vector<std::string>>();
  info.resolution_nm = json.at("resolution").get<std::vector<double>>();
  info.offset_nm = json.at("offset").get<std::vector<double>>();
  info.attributes = json.at("attributes").get<std::map<std::string, std::string>>();
  return info;
}

}  // namespace

void broadcast_volumes(std::vector<VolumeInfo>& volumes, const Communicator& world) {
  if (world.size() == 1) return;
  // CBOR keeps any bytes of names and attributes, and every bit of numbers.
  std::vector<std::uint8_t> message;
  if (world.is_root()) {
    Json all = Json::array();
    for (const VolumeInfo& info : volumes)
      all.push_back(json_of(info));
    message = Json::to_cbor(all);
  }
  std::uint64_t size = message.size();
  world.broadcast(std::as_writable_bytes(std::span(&size, 1)));
  message.resize(size);
  world.broadcast(std::as_writable_bytes(std::span(message)));
  if (world.is_root()) return;
  volumes.clear();
  for (const Json& json : Json::from_cbor(message))
    volumes.push_back(volume_from(json));
}

void warn_when_written(const std::filesystem::path& file) {
  if (is_open_for_writing(file)) {
    spdlog::warn("{} is open for writing in another program: what is read of it may be incomplete",
                 file.string());
  }
}

VolumeInfo look_up_volume(const DatasetName& name, const Communicator& world) {
  std::vector<VolumeInfo> volumes;
  on_root(world, [&] {
    volumes.push_back(read_volume_info(name));
    warn_when_written(name.file);
  });
  broadcast_volumes(volumes, world);
  return volumes.front();
}

}  // namespace tessera
