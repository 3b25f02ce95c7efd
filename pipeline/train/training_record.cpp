#include "pipeline/train/training_record.h"

#include <array>
#include <nlohmann/json.hpp>

#include "io/base/file_bytes.h"
#include "io/base/json_text.h"
#include "io/base/utf8_text.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {

void TrainingRecord::write(const RunFolder& folder) const {
  nlohmann::ordered_json json{{"end", name_of(end)},    {"started", started},
                              {"ranks", ranks},         {"parameters", parameters},
                              {"tile", tile_side},      {"global_batch", global_batch},
                              {"precision", precision}, {"resumed_from", resumed_from}};
  if (!ended.empty()) json["ended"] = ended;
  if (!initial_weights.empty())
    json["initial_weights"] = nlohmann::ordered_json::parse(initial_weights, nullptr, false);
  json["workers"] = nlohmann::ordered_json::array();
  for (const Worker& one : workers)
    json["workers"].push_back({{"rank", one.rank}, {"host", one.host}, {"device", one.device}});
  write_text_file(folder.path() / "training.json", json_text(json, 2) + "\n");
}

std::string initial_weights_json(const std::string& file, const std::string& age,
                                 const InitialWeights& weights) {
  nlohmann::ordered_json json{
      {"file", shown_as_utf8(file)}, {"age", age}, {"taken", weights.taken}, {"adapted", weights.adapted}};
  json["new"] = nlohmann::ordered_json::array();
  for (const InitialWeights::Left& one : weights.initialised)
    json["new"].push_back({{"layer", one.layer}, {"reason", one.reason}});
  json["not_used"] = weights.left_out;
  return json_text(json, -1);
}

TrainingRecord start_training_record(const Communicator& world, const std::string& device) {
  TrainingRecord record;
  record.ranks = world.size();
  const std::vector<std::string> all = world.all_gather(device.empty() ? "" : host_name() + "\n" + device);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const std::size_t end = all[rank].find('\n');
    if (end == std::string::npos) continue;
    record.workers.push_back({static_cast<int>(rank), all[rank].substr(0, end), all[rank].substr(end + 1)});
  }
  record.started = now_utc();
  return record;
}

}  // namespace tessera
